/**
 * A signed cookie that holds an id: the session cookie, or the client cookie.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  createHmac,
  createSecretKey,
  type KeyObject,
  timingSafeEqual,
} from "node:crypto";
import { flat, isPlausibleId } from "../base/ids.ts";
import type { CookieOptions, KoaContext } from "../api/koa.ts";
import { CookieLines } from "./cookie_lines.ts";
import { SignatureCache } from "./signature_cache.ts";

/** A received cookie with a valid signature. */
export interface GenuineCookie {
  readonly id: string;
  /** Made with the first key; `undefined` where cookies are not signed, or an older key signed it. */
  readonly signature: string | undefined;
  /** Whether an older key signed it: the cookie has to be sent again, with a signature of the first key. */
  readonly outdated?: boolean;
}

/** A request, and the application whose keys signed its cookies. */
export type CookieBearer = Pick<KoaContext, "app" | "req">;

/** The members of a Keygrip: keys with their own algorithm. */
interface KeyRing {
  sign(text: string): string;
  /** The position of the key that made the signature, or a negative number. */
  index(text: string, signature: string): number;
}

/**
 * How many cookies of one name are examined. Each value may belong to each
 * signature, so a header full of them would cost the square of their number.
 */
const MAX_DUPLICATES = 4;

/** The length of a SHA-1 digest in base64url. */
const SHA1_LENGTH = 27;

/** One cookie that holds an id. */
export class IdCookie {
  readonly #name: string;
  readonly #signed: boolean;
  readonly #value: RegExp;
  readonly #signature: RegExp;
  /** The cookies of contexts whose responses may not have this one. */
  readonly #suppressed = new WeakSet<object>();
  readonly #guarded = new WeakSet<object>();
  readonly #lines: CookieLines;
  #verified = new SignatureCache();
  /** The key of the cached signatures, as given and as prepared for use. */
  #secret: unknown;
  #key: unknown;

  constructor(name: string, signed: boolean) {
    this.#name = name;
    this.#signed = signed;
    this.#value = pattern(name);
    this.#signature = pattern(`${name}.sig`);
    this.#lines = new CookieLines(name);
  }

  /** Whether a cookie with this id was received; its signature may be invalid. */
  presents(req: KoaContext["req"], id: string): boolean {
    const header = req.headers.cookie;
    if (!header) return false;
    return first(header, this.#value) === id ||
      all(header, this.#value).includes(id);
  }

  /** The received value, whether its signature is valid or not. */
  unverified(req: KoaContext["req"]): string | undefined {
    const header = req.headers.cookie;
    return header && first(header, this.#value);
  }

  /**
   * The received id, if its signature is valid. It is a copy: a slice would
   * keep the whole header alive.
   *
   * Another host of the domain can set a cookie of the same name, which
   * browsers send as well, and before this one if its path is longer. Of
   * several cookies the first one with a valid signature counts.
   */
  read({ app, req }: CookieBearer): GenuineCookie | undefined {
    const header = req.headers.cookie;
    const value = header && first(header, this.#value);
    if (!header || value === undefined) return undefined;
    if (!this.#signed) return unsigned(value || all(header, this.#value)[0]);
    const signature = first(header, this.#signature);
    const { keys } = app;
    if (signature === undefined || !keys) return undefined;
    return this.#verify(value, signature, keys) ?? this.#search(header, keys);
  }

  /** Tries every received value with every received signature. */
  #search(header: string, keys: unknown): GenuineCookie | undefined {
    const values = all(header, this.#value);
    const signatures = all(header, this.#signature);
    for (const value of values) {
      for (const signature of signatures) {
        const genuine = this.#verify(value, signature, keys) ??
          this.#verifyOutdated(value, signature, keys);
        if (genuine) return genuine;
      }
    }
    return undefined;
  }

  /** Accepts signatures of the first key only; a forgery is not cached. */
  #verify(
    value: string,
    signature: string,
    keys: unknown,
  ): GenuineCookie | undefined {
    const secret = Array.isArray(keys) ? keys[0] : undefined;
    if (secret !== this.#secret) {
      this.#secret = secret;
      this.#key = prepared(secret);
      this.#verified = new SignatureCache();
    }
    const cached = this.#verified.get(value, signature);
    if (cached && equal(signature, cached.signature)) return cached;
    if (Array.isArray(keys) && signature.length !== SHA1_LENGTH) {
      return undefined;
    }
    const text = `${this.#name}=${value}`;
    // as Koa signs: with the first key, or with the Keygrip that it was given
    const expected = Array.isArray(keys)
      ? sign(text, this.#key)
      : (keys as KeyRing).sign(text);
    if (!equal(signature, expected)) return undefined;
    if (!isPlausibleId(value)) return undefined;
    const genuine = { id: flat(value), signature: expected };
    // a Keygrip, or a binary key, may change in place
    if (typeof secret === "string") this.#verified.add(genuine);
    return genuine;
  }

  /** Accepts signatures of the other keys. */
  #verifyOutdated(
    value: string,
    signature: string,
    keys: unknown,
  ): GenuineCookie | undefined {
    if (!isPlausibleId(value)) return undefined;
    const text = `${this.#name}=${value}`;
    const genuine = Array.isArray(keys)
      ? keys.some((key, i) => i > 0 && key && equal(signature, sign(text, key)))
      : (keys as KeyRing).index(text, signature) >= 0;
    return genuine
      ? { id: flat(value), signature: undefined, outdated: true }
      : undefined;
  }

  /**
   * Sends the cookie.
   *
   * @param received the cookie of this request: the same id has the same signature
   */
  write(
    ctx: KoaContext,
    id: string,
    options: CookieOptions,
    received: GenuineCookie | undefined,
  ): void {
    const { cookies } = ctx;
    const signature = received?.id === id ? received.signature : undefined;
    if (signature === undefined) {
      cookies.set(this.#name, id, options);
      return;
    }
    this.#lines.send(ctx, id, signature, options, () => {
      const { keys } = cookies;
      cookies.keys = { sign: () => signature };
      try {
        cookies.set(this.#name, id, options);
      } finally {
        cookies.keys = keys;
      }
    });
  }

  /**
   * Removes the cookie from the response and blocks later ones: a late response
   * must not overwrite the cookie of a newer session.
   */
  suppress(ctx: KoaContext): void {
    const name = this.#name;
    const { cookies, res } = ctx;
    this.#suppressed.add(cookies);
    this.#guard(cookies);
    if (res.headersSent) return;
    const header = res.getHeader("set-cookie");
    if (!Array.isArray(header)) return;
    const kept = header.filter((line) =>
      !line.startsWith(`${name}=`) && !line.startsWith(`${name}.sig=`)
    );
    if (kept.length > 0) res.setHeader("set-cookie", kept);
    else res.removeHeader("set-cookie");
  }

  /** Ends a suppression: the request has made the newest id itself. */
  allow({ cookies }: KoaContext): void {
    this.#suppressed.delete(cookies);
  }

  #guard(cookies: KoaContext["cookies"]): void {
    if (this.#guarded.has(cookies)) return;
    this.#guarded.add(cookies);
    const name = this.#name;
    const suppressed = this.#suppressed;
    const set = cookies.set;
    Object.defineProperty(cookies, "set", {
      configurable: true,
      writable: true,
      value(this: unknown, key: string, ...rest: unknown[]) {
        if (key === name && suppressed.has(cookies)) return this;
        return Reflect.apply(set, this, [key, ...rest]);
      },
    });
  }
}

function pattern(name: string): RegExp {
  const literal = name.replace(/[\^$\\.*+?()[\]{}|]/g, "\\$&");
  return new RegExp(`(?:^|;) *${literal}=([^;]*)`);
}

/** The value of the first cookie of the pattern's name. */
function first(header: string, pattern: RegExp): string | undefined {
  const value = pattern.exec(header)?.[1];
  return value === undefined ? undefined : unquoted(value);
}

/** The values of the first cookies of the pattern's name, without empty ones. */
function all(header: string, pattern: RegExp): string[] {
  const values: string[] = [];
  for (const match of header.matchAll(new RegExp(pattern, "g"))) {
    const value = unquoted(match[1]!);
    if (value) values.push(value);
    if (values.length === MAX_DUPLICATES) break;
  }
  return values;
}

function unquoted(value: string): string {
  return value[0] === '"' ? value.slice(1, -1) : value;
}

function unsigned(value: string | undefined): GenuineCookie | undefined {
  return isPlausibleId(value)
    ? { id: flat(value), signature: undefined }
    : undefined;
}

function sign(text: string, key: unknown): string {
  return createHmac("sha1", key as KeyObject).update(text).digest("base64url");
}

/** A text key prepared once for many uses; a binary key may change in place. */
function prepared(secret: unknown): unknown {
  return typeof secret === "string" && secret.length > 0
    ? createSecretKey(Buffer.from(secret, "utf8"))
    : secret;
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
