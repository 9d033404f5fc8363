/** The browser's side of cookies, and the means to forge them. */
import { createHmac } from "node:crypto";

/** One `Set-Cookie` line. */
export interface SetCookie {
  readonly name: string;
  readonly value: string;
  /** The line as it came. */
  readonly line: string;
  /** Attributes by lower-case name; `""` for those without a value (`httponly`, `secure`). */
  readonly attributes: Readonly<Record<string, string>>;
  /** Whether the line tells the browser to forget the cookie. */
  readonly deletes: boolean;
}

/** Reads one `Set-Cookie` line. */
export function parseSetCookie(line: string): SetCookie {
  const [pair = "", ...rest] = line.split(";");
  const at = pair.indexOf("=");
  const attributes: Record<string, string> = {};
  for (const part of rest) {
    const [name = "", ...value] = part.trim().split("=");
    attributes[name.toLowerCase()] = value.join("=");
  }
  const value = pair.slice(at + 1).trim();
  const { expires, "max-age": maxAge } = attributes;
  // a cookie's date is cut off to whole seconds: one of 100 ms is not deleted by that
  const deletes = maxAge !== undefined
    ? Number(maxAge) <= 0
    : expires !== undefined && Date.parse(expires) <= Date.now() - 1_000;
  return { name: pair.slice(0, at).trim(), value, line, attributes, deletes };
}

/** What a browser remembers of `Set-Cookie`: name → value. Paths and domains are not looked at. */
export class CookieJar {
  readonly #cookies: Map<string, string>;

  /** @param cookies to begin with */
  constructor(cookies: Iterable<readonly [string, string]> = []) {
    this.#cookies = new Map(cookies);
  }

  get(name: string): string | undefined {
    return this.#cookies.get(name);
  }

  set(name: string, value: string): void {
    this.#cookies.set(name, value);
  }

  /** Forgets a cookie; with its signature, unless it is one. */
  delete(name: string): void {
    this.#cookies.delete(name);
    this.#cookies.delete(`${name}.sig`);
  }

  clear(): void {
    this.#cookies.clear();
  }

  /** Does what an answer's `Set-Cookie` lines say. */
  apply(cookies: readonly SetCookie[]): void {
    for (const { name, value, deletes } of cookies) {
      if (deletes) this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
  }

  names(): string[] {
    return [...this.#cookies.keys()];
  }

  /** The `Cookie` header, `""` when there is nothing to send. */
  header(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`)
      .join("; ");
  }

  clone(): CookieJar {
    return new CookieJar(this.#cookies);
  }
}

/** The signature that Koa's keygrip gives a cookie: lets a test forge any value. */
export function signCookie(name: string, value: string, key: string): string {
  return createHmac("sha1", key).update(`${name}=${value}`).digest("base64url");
}
