/** The cookies of a test's browser, kept by tough-cookie, and signatures to forge them with. */
import { createHmac } from "node:crypto";
import { Cookie, CookieJar as ToughJar } from "tough-cookie";

/** The host of the servers of the tests. Cookies have no ports. */
const ORIGIN = "http://127.0.0.1/";

/** The key that signs cookies, unless a test sets another. */
export const SIGNING_KEY = "a key of the tests, long enough to be a strong one";

/** The session cookie's name, unless a test sets another. */
export const KEY = "test.sid";

/** The client cookie's name that follows from {@linkcode KEY}. */
export const CLIENT_KEY = "test.sid.cid";

/** One `Set-Cookie` line. */
export interface SetCookie {
  readonly name: string;
  readonly value: string;
  /** The line as it was sent. */
  readonly line: string;
  /** Attributes by lower-case name; `""` for those without a value (`httponly`, `secure`). */
  readonly attributes: Readonly<Record<string, string>>;
  /** Whether the line removes the cookie. */
  readonly deletes: boolean;
}

/** Reads one `Set-Cookie` line. */
export function parseSetCookie(line: string): SetCookie {
  const cookie = parse(line);
  const attributes = line.split(";").slice(1).map((part) => {
    const [name = "", ...value] = part.trim().split("=");
    return [name.toLowerCase(), value.join("=")];
  });
  // the date of a cookie has whole seconds: a life of 100 ms may end in the past
  const deletes = (cookie.expiryTime() ?? Infinity) <= Date.now() - 1_000;
  return {
    name: cookie.key,
    value: cookie.value,
    line,
    attributes: Object.fromEntries(attributes),
    deletes,
  };
}

/** The cookies of a browser, which it sends until a line removes them: beyond their ends, too. */
export class CookieJar {
  #jar = new ToughJar(undefined, {
    looseMode: true,
    rejectPublicSuffixes: false,
  });

  /** @param cookies the first ones, as names and values */
  constructor(cookies: Iterable<readonly [string, string]> = []) {
    for (const [name, value] of cookies) this.set(name, value);
  }

  get(name: string): string | undefined {
    return this.#all().find(({ key }) => key === name)?.value;
  }

  set(name: string, value: string): void {
    this.#jar.setCookieSync(new Cookie({ key: name, value }), ORIGIN);
  }

  /** Removes a cookie and its signature. */
  delete(name: string): void {
    for (const cookie of this.#all()) {
      if (cookie.key !== name && cookie.key !== `${name}.sig`) continue;
      const expired = cookie.clone()!;
      expired.setExpires(new Date(0));
      this.#jar.setCookieSync(expired, ORIGIN);
    }
  }

  clear(): void {
    this.#jar.removeAllCookiesSync();
  }

  /** Keeps and removes cookies as the `Set-Cookie` lines of an answer say. */
  apply(cookies: readonly SetCookie[], url: string = ORIGIN): void {
    for (const { line, deletes } of cookies) {
      const cookie = parse(line);
      if (!deletes) {
        cookie.setExpires("Infinity");
        cookie.maxAge = null;
      }
      this.#jar.setCookieSync(cookie, url, { ignoreError: true });
    }
  }

  names(): string[] {
    return this.#all().map(({ key }) => key);
  }

  /** The `Cookie` header of a request to this URL, `""` where no cookie is sent. */
  header(url: string = ORIGIN): string {
    return this.#jar.getCookieStringSync(url);
  }

  clone(): CookieJar {
    const copy = new CookieJar();
    copy.#jar = this.#jar.cloneSync()!;
    return copy;
  }

  #all(): Cookie[] {
    return this.#jar.getCookiesSync(ORIGIN, { allPaths: true });
  }
}

function parse(line: string): Cookie {
  const cookie = Cookie.parse(line, { loose: true });
  if (!cookie) throw new Error(`Cannot read the cookie ${line}`);
  return cookie;
}

/** The signature that Koa's keygrip gives a cookie: lets a test forge any value. */
export function signCookie(name: string, value: string, key: string): string {
  return createHmac("sha1", key).update(`${name}=${value}`).digest("base64url");
}
