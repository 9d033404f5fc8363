/**
 * The options that are forwarded: to koa-session, and to the cookies.
 *
 * @module
 */
import type { CookieOptions } from "../api/koa.ts";
import type { UnknownOption } from "../api/options.ts";
import { closest } from "./spelling.ts";
import type { OptionReader } from "./option_reader.ts";

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

/** Cookie attributes that are checked; unknown ones are forwarded unchecked. */
const ATTRIBUTES = new Set([
  "signed",
  "httpOnly",
  "secure",
  "overwrite",
  "domain",
  "path",
  "sameSite",
]);

/** Further attributes of cookies, for {@linkcode unknownOptions}. */
const MORE_ATTRIBUTES = ["expires", "partitioned", "priority", "secureProxy"];

/** Checks the options that only koa-session and the cookies use. */
export function checkForwarded(o: OptionReader): void {
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

/**
 * The options of koa-session: its own and those of its cookie.
 *
 * @param o has read all options of the bridge
 * @param resolved options with their defaults, which replace those given
 */
export function koaSessionOptions(
  o: OptionReader,
  resolved: Record<string, unknown>,
): Record<string, unknown> {
  const given = o.select((name) =>
    name !== "maxage" && NOT_ATTRIBUTES.has(name)
  );
  return Object.freeze({ ...given, ...attributes(o), ...resolved });
}

/**
 * The attributes of the client cookie.
 *
 * @param o has read all options of the bridge
 */
export function clientCookie(
  o: OptionReader,
  signed: boolean,
  maxAge: number,
): CookieOptions {
  return Object.freeze({
    httpOnly: true,
    overwrite: true,
    ...attributes(o),
    signed,
    maxAge,
  });
}

/**
 * The given options that neither the bridge, koa-session nor a cookie has.
 *
 * @param o has read all options of the bridge
 */
export function unknownOptions(o: OptionReader): readonly UnknownOption[] {
  const known = new Set(
    [...o.names, ...NOT_ATTRIBUTES, ...ATTRIBUTES, ...MORE_ATTRIBUTES],
  );
  const unknown = Object.keys(o.select((name) => !known.has(name)));
  return Object.freeze(
    unknown.map((name) => ({ name, meant: closest(name, known) })),
  );
}

/** The attributes that both cookies have. A boolean `sameSite` is written as the word that it stands for, as koa-session takes no other. */
function attributes(o: OptionReader): Record<string, unknown> {
  const { sameSite, ...others } = o.select((name) => isAttribute(o, name));
  if (sameSite === undefined || sameSite === false) return others;
  return { ...others, sameSite: sameSite === true ? "strict" : sameSite };
}

/** Options that the bridge did not read are attributes as well: cookies may have others in future. */
function isAttribute(o: OptionReader, name: string): boolean {
  return ATTRIBUTES.has(name) ||
    !o.wasRead(name) && !NOT_ATTRIBUTES.has(name);
}
