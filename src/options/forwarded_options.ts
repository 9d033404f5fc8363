/**
 * The options that go on to others: to koa-session, and to the cookies.
 *
 * @module
 */
import type { CookieOptions } from "../api/koa.ts";
import type { OptionReader } from "./option_reader.ts";

/** The bridge's own options: everything else is koa-session's, or a cookie's. */
const OWN = new Set([
  "store",
  "ContextStore",
  "externalKey",
  "autoCleanup",
  "autoCleanupMs",
  "clientKey",
  "clientMaxAge",
  "clientAlwaysRoll",
  "appKeys",
  "onSessionEnd",
  "onConflict",
  "absoluteMaxAge",
  "touchInterval",
  "user",
  "origin",
  "lockTimeout",
  "storeTimeout",
  "reconcileInterval",
  "maxEntries",
  "allowRndAppKeys",
  "view",
  "expiringNotice",
  "schema",
  "onInvalid",
]);

/** koa-session's options that are no cookie attributes. */
const NOT_ATTRIBUTES = new Set([
  "key",
  "maxAge",
  "maxage",
  "prefix",
  "genid",
  "autoCommit",
  "rolling",
  "renew",
  "encode",
  "decode",
  "valid",
  "beforeSave",
]);

/** Checks those that nobody here reads. */
export function checkPassedOn(o: OptionReader): void {
  for (const name of ["valid", "beforeSave", "encode", "decode"]) {
    o.callable(name);
  }
  for (
    const name of ["autoCommit", "renew", "httpOnly", "secure", "overwrite"]
  ) {
    o.boolean(name);
  }
  o.string("domain");
  o.string("path");
  o.oneOf(
    "sameSite",
    ["strict", "lax", "none"],
    "a boolean",
    (value) =>
      typeof value === "boolean" ||
      typeof value === "string" && /^(strict|lax|none)$/i.test(value),
  );
}

/** What koa-session is handed: the options that are its own, with those `set` that were filled in. */
export function nativeOptions(
  given: Record<string, unknown>,
  set: Record<string, unknown>,
): Record<string, unknown> {
  const native: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!OWN.has(name) && name !== "maxage" && value != null) {
      native[name] = value;
    }
  }
  return Object.freeze({ ...native, ...set });
}

/** The attributes of the client cookie. */
export function clientCookie(
  given: Record<string, unknown>,
  signed: boolean,
  maxAge: number,
): CookieOptions {
  const attributes: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (!OWN.has(name) && !NOT_ATTRIBUTES.has(name) && value != null) {
      attributes[name] = value;
    }
  }
  return Object.freeze({
    httpOnly: true,
    overwrite: true,
    ...attributes,
    signed,
    maxAge,
  });
}
