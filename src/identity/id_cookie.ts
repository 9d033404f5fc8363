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
import { SignatureCache } from "./signature_cache.ts";

/** A received cookie with a valid signature. */
export interface GenuineCookie {
  readonly id: string;
  /** Made with the first key; `undefined` where cookies are not signed, or an older key signed it. */
  readonly signature: string | undefined;
}

/** A context with cookies. */
export type CookieBearer = Pick<KoaContext, "app" | "req" | "cookies">;

/** One cookie that holds an id. */
export class IdCookie {
  readonly #name: string;
  readonly #signed: boolean;
  readonly #value: RegExp;
  readonly #signature: RegExp;
  #verified = new SignatureCache();
  /** The key of the cached signatures, as given and as prepared for use. */
  #secret: unknown;
  #key: unknown;

  constructor(name: string, signed: boolean) {
    this.#name = name;
    this.#signed = signed;
    this.#value = pattern(name);
    this.#signature = pattern(`${name}.sig`);
  }

  /** The received value, whether its signature is valid or not. */
  unverified(req: KoaContext["req"]): string | undefined {
    const header = req.headers.cookie;
    return header && found(header, this.#value);
  }

  /** The received id, if its signature is valid. It is a copy: a slice would keep the whole header alive. */
  read(ctx: CookieBearer): GenuineCookie | undefined {
    const header = ctx.req.headers.cookie;
    const value = header && found(header, this.#value);
    if (!value) return undefined;
    const signature = this.#signed ? found(header, this.#signature) : undefined;
    const { keys } = ctx.app;
    if (signature !== undefined && keys !== undefined) {
      const genuine = this.#verify(value, signature, keys);
      if (genuine) return genuine;
    }
    // an older key, or a forgery: Koa renews the signature, or removes it
    const id = ctx.cookies.get(this.#name, { signed: this.#signed });
    return isPlausibleId(id)
      ? { id: flat(id), signature: undefined }
      : undefined;
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
    const text = `${this.#name}=${value}`;
    // as Koa signs: with the first key, or with the Keygrip that it was given
    const expected = Array.isArray(keys)
      ? createHmac("sha1", this.#key as KeyObject).update(text)
        .digest("base64url")
      : (keys as { sign(text: string): string }).sign(text);
    if (!equal(signature, expected)) return undefined;
    if (!isPlausibleId(value)) return undefined;
    const genuine = { id: flat(value), signature: expected };
    // a Keygrip, or a binary key, may change in place
    if (typeof secret === "string") this.#verified.add(genuine);
    return genuine;
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
    const { keys } = cookies;
    cookies.keys = { sign: () => signature };
    try {
      cookies.set(this.#name, id, options);
    } finally {
      cookies.keys = keys;
    }
  }

  /**
   * Removes the cookie from the response and blocks later ones: a late response
   * must not overwrite the cookie of a newer session.
   */
  suppress(ctx: KoaContext): void {
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
