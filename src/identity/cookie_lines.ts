/**
 * The `Set-Cookie` lines of a cookie that is sent with each response: within
 * one second they differ by id and signature only.
 *
 * @module
 */
import type { CookieOptions, KoaContext } from "../api/koa.ts";

/** What follows id and signature in the lines, as Koa's cookies wrote them. */
interface Written {
  readonly options: CookieOptions;
  /** When the cookie ends, in seconds since the epoch. */
  readonly end: number;
  readonly secure: unknown;
  readonly tail: string;
}

/** Repeats the lines that Koa's cookies wrote in the same second. */
export class CookieLines {
  readonly #start: string;
  readonly #signatureStart: string;
  #written: Written | undefined;

  /** @param name the name of the cookie */
  constructor(name: string) {
    this.#start = `${name}=`;
    this.#signatureStart = `${name}.sig=`;
  }

  /**
   * Sends an id and its signature.
   *
   * @param options frozen ones only can be compared: others may have changed
   * @param write sends them by Koa's cookies
   */
  send(
    { cookies, res }: KoaContext,
    id: string,
    signature: string,
    options: CookieOptions,
    write: () => void,
  ): void {
    const { maxAge } = options;
    const before = res.getHeader("set-cookie") ?? [];
    // a `set` of its own may decide otherwise, as that of a suppressed cookie
    if (
      maxAge === undefined || !Object.isFrozen(options) ||
      !Array.isArray(before) || this.#isIn(before) ||
      cookies.set !== Object.getPrototypeOf(cookies).set
    ) return write();
    const end = Math.floor((Date.now() + maxAge) / 1_000);
    const { secure } = cookies as { secure?: unknown };
    const last = this.#written;
    if (
      last?.end === end && last.options === options && last.secure === secure
    ) {
      res.setHeader("Set-Cookie", [
        ...before,
        this.#start + id + last.tail,
        this.#signatureStart + signature + last.tail,
      ]);
      return;
    }
    write();
    const line = (res.getHeader("set-cookie") as string[]).at(-2);
    const start = this.#start + id;
    this.#written = line?.startsWith(start)
      ? { options, end, secure, tail: line.slice(start.length) }
      : undefined;
  }

  #isIn(lines: readonly string[]): boolean {
    return lines.some((line) => line.startsWith(this.#start));
  }
}
