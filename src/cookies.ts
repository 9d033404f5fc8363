/**
 * The two cookies: the session's and the client's.
 *
 * @module
 */
import { flat, isPlausibleId } from "./ids.ts";
import type { CookieOptions, KoaContext } from "./koa.ts";

/** One cookie that holds an id. */
export class IdCookie {
  readonly #name: string;
  readonly #signed: boolean;

  constructor(name: string, signed: boolean) {
    this.#name = name;
    this.#signed = signed;
  }

  /** The id that came, if it is genuine; one copy of its own, for it is kept for long. */
  read(ctx: KoaContext): string | undefined {
    const id = ctx.cookies.get(this.#name, { signed: this.#signed });
    return isPlausibleId(id) ? flat(id) : undefined;
  }

  write(ctx: KoaContext, id: string, options: CookieOptions): void {
    ctx.cookies.set(this.#name, id, options);
  }

  /**
   * Takes the cookie out of the answer, and keeps it out: an answer that comes
   * late must not erase the cookie of a newer session.
   */
  mute(ctx: KoaContext): void {
    const name = this.#name;
    const { cookies, res } = ctx;
    if (!Object.hasOwn(cookies, "set")) {
      const set = cookies.set;
      Object.defineProperty(cookies, "set", {
        configurable: true,
        value(this: unknown, key: string, ...rest: unknown[]) {
          if (key === name) return this;
          return Reflect.apply(set, this, [key, ...rest]);
        },
      });
    }
    if (res.headersSent) return;
    const header = res.getHeader("set-cookie");
    if (!Array.isArray(header)) return;
    const kept = header.filter((line) =>
      !line.startsWith(`${name}=`) && !line.startsWith(`${name}.sig=`)
    );
    if (kept.length > 0) res.setHeader("set-cookie", kept);
    else res.removeHeader("set-cookie");
  }
}
