/**
 * The two cookies: the session's and the client's.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHmac, timingSafeEqual } from "node:crypto";
import { flat, isPlausibleId } from "./ids.ts";
import type { CookieOptions, KoaContext } from "./koa.ts";

/** A cookie that came with a request, and is genuine. */
export interface GenuineCookie {
  readonly id: string;
  /** Made with the key in use; `undefined` where cookies are not signed, or an older key was used. */
  readonly signature: string | undefined;
}

/** One cookie that holds an id. */
export class IdCookie {
  readonly #name: string;
  readonly #signed: boolean;
  readonly #value: RegExp;
  readonly #signature: RegExp;

  constructor(name: string, signed: boolean) {
    this.#name = name;
    this.#signed = signed;
    this.#value = pattern(name);
    this.#signature = pattern(`${name}.sig`);
  }

  /** The id that came, if it is genuine; one copy of its own, for it is kept for long. */
  read(ctx: KoaContext): GenuineCookie | undefined {
    const header = ctx.req.headers.cookie;
    const value = header && found(header, this.#value);
    if (!value) return undefined;
    const signature = this.#signed ? found(header, this.#signature) : undefined;
    const current = signature !== undefined && ctx.app.keys !== undefined &&
      equal(signature, sign(`${this.#name}=${value}`, ctx.app.keys));
    // an older key, or a forgery: Koa renews, or removes, the signature
    const id = current
      ? value
      : ctx.cookies.get(this.#name, { signed: this.#signed });
    return isPlausibleId(id)
      ? { id: flat(id), signature: current ? signature : undefined }
      : undefined;
  }

  /**
   * Sends the cookie.
   *
   * @param came as it came with this request: the same id has the same signature
   */
  write(
    ctx: KoaContext,
    id: string,
    options: CookieOptions,
    came: GenuineCookie | undefined,
  ): void {
    const { cookies } = ctx;
    const signature = came?.id === id ? came.signature : undefined;
    if (signature === undefined) {
      cookies.set(this.#name, id, options);
      return;
    }
    const { keys } = cookies;
    cookies.keys = { sign: () => signature };
    try {
      cookies.set(this.#name, id, options);
    } finally {
      cookies.keys = keys;
    }
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

function pattern(name: string): RegExp {
  const literal = name.replace(/[\^$\\.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`(?:^|;) *${literal}=([^;]*)`);
}

function found(header: string, pattern: RegExp): string | undefined {
  const value = pattern.exec(header)?.[1];
  return value?.[0] === '"' ? value.slice(1, -1) : value;
}

/** As Koa signs: with the first of its keys, or with whatever Keygrip it was given. */
function sign(text: string, keys: unknown): string {
  return Array.isArray(keys)
    ? createHmac("sha1", keys[0]).update(text).digest("base64url")
    : (keys as { sign(text: string): string }).sign(text);
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
