/**
 * Checks the options of the bridge once and fills in the defaults.
 *
 * @module
 */
import { refuse, refuseResult, synchronous } from "../base/arguments.ts";
import { CLIENT_EVENTS } from "../api/events.ts";
import { generateUid } from "../base/ids.ts";
import { MAX_TIMER } from "../base/timers.ts";
import { OptionReader } from "./option_reader.ts";
import type {
  ExternalKey,
  OnSessionEnd,
  OriginOption,
  ResolvedOptions,
} from "../api/options.ts";
import {
  checkForwarded,
  clientCookie,
  koaSessionOptions,
  unknownOptions,
} from "./forwarded_options.ts";
import { ONE_DAY } from "../api/store.ts";
import { SessionStore } from "../stores/memory.ts";
import { defaultStoreOptions, readStores } from "./store_option.ts";
import { readUserOptions } from "./user_options.ts";
import { isSchema, type SessionSchema } from "../api/schema.ts";

const MINUTE = 60_000;
const THIRTY_DAYS = 30 * ONE_DAY;
const ONE_YEAR = 365 * ONE_DAY;
/** The length of a session id: 144 random bits; OWASP ASVS 7.2.3 asks for 128. */
const SESSION_ID_LENGTH = 24;
/** Names that an event of the application must not have: those of Socket.IO, and the bridge's. */
const RESERVED_EVENTS: ReadonlySet<string> = new Set([
  "connect",
  "connect_error",
  "disconnect",
  "disconnecting",
  "newListener",
  "removeListener",
  ...CLIENT_EVENTS,
]);

/**
 * Checks the options and fills in the defaults. The object given is not changed.
 *
 * @throws {TypeError} for an option of the wrong type
 * @throws {RangeError} for one out of range
 */
export function resolveOptions(given: unknown): ResolvedOptions {
  const options = given ?? {};
  if (typeof options !== "object" || Array.isArray(options)) {
    refuse("bridge sessions", "options", "an object", given);
  }
  const o = new OptionReader(options as Record<string, unknown>);
  const key = o.token("key") ?? generateUid(12);
  const clientKey = o.token("clientKey") ?? `${key}.cid`;
  if (clientKey === key) {
    o.wrong(
      "clientKey",
      "another name than the option key",
      clientKey,
      RangeError,
    );
  }
  const maxAge = readMaxAge(o);
  const idle = maxAge === "session" ? ONE_DAY : maxAge;
  const signed = o.boolean("signed") ?? true;
  const { store, ContextStore } = readStores(o);
  const prefix = o.string("prefix") ?? "";
  const genid = readGenid(o);
  checkForwarded(o);
  const storeOptions = defaultStoreOptions(o, maxAge);
  const rolling = o.boolean("rolling") ?? false;
  const beforeSave = callback(o, "beforeSave", "save a session");
  const clientMaxAge = o.ms("clientMaxAge") ?? ONE_YEAR;
  const makeId = genid ?? (() => prefix + generateUid(SESSION_ID_LENGTH));
  const own: Omit<ResolvedOptions, "unknown" | "native" | "clientCookie"> = {
    key,
    clientKey,
    randomKey: o.get("key") === undefined,
    maxAge,
    clientAlwaysRoll: o.boolean("clientAlwaysRoll") ?? true,
    signed,
    rolling,
    appKeys: readAppKeys(o),
    allowRndAppKeys: o.boolean("allowRndAppKeys") ?? false,
    store: ContextStore ? undefined : store ?? new SessionStore(storeOptions),
    ownStore: !ContextStore && !store,
    ContextStore,
    externalKey: readExternalKey(o),
    valid: callback(o, "valid", "check a session"),
    ownGenid: genid !== undefined,
    genid: makeId,
    onSessionEnd: readOnSessionEnd(o),
    onConflict: readOnConflict(o),
    absoluteMaxAge: o.ms("absoluteMaxAge"),
    touchInterval: o.get("touchInterval") === false
      ? false
      : o.ms("touchInterval") ?? Math.min(idle / 10, MINUTE),
    ...readUserOptions(o),
    origin: readOrigin(o),
    lockTimeout: o.ms("lockTimeout", MAX_TIMER) ?? 5_000,
    maxWaiting: readMaxWaiting(o) ?? 1_000,
    storeTimeout: o.ms("storeTimeout", MAX_TIMER) ?? 5_000,
    reconcileInterval: o.ms("reconcileInterval", MAX_TIMER) ?? MINUTE,
    view: callback(o, "view", "send the view of a session"),
    expiringNotice: o.ms("expiringNotice"),
    schema: readSchema(o),
    onInvalid: o.oneOf("onInvalid", ["end", "throw"]) ?? "throw",
  };
  if (ContextStore) refuseWithContextStore(o);
  // last: what is unknown, and what is forwarded depends on which options were read
  return Object.freeze({
    ...own,
    unknown: unknownOptions(o),
    native: koaSessionOptions(o, {
      key,
      maxAge,
      signed,
      rolling,
      genid: makeId,
      ...beforeSave && { beforeSave },
    }),
    clientCookie: clientCookie(o, signed, clientMaxAge),
  });
}

/** Refuses the options that look up sessions outside requests, where a `ContextStore` has no context. */
function refuseWithContextStore(o: OptionReader): void {
  for (const name of ["maxSessions", "expiringNotice"]) {
    const value = o.get(name);
    if (value === undefined) continue;
    o.wrong(name, "left out where the option ContextStore is set", value);
  }
}

function readMaxAge(o: OptionReader): number | "session" {
  const name = o.get("maxAge") === undefined && o.get("maxage") !== undefined
    ? "maxage"
    : "maxAge";
  const value = o.get(name);
  if (value === "session") return value;
  if (typeof value === "string") {
    o.wrong(name, 'a number of ms above 0 or "session"', value);
  }
  return o.ms(name) ?? THIRTY_DAYS;
}

function readExternalKey(o: OptionReader): ExternalKey | undefined {
  const value = o.get("externalKey");
  if (value === undefined) return undefined;
  if (typeof value !== "object") {
    o.wrong("externalKey", "an object with get and set", value);
  }
  o.methods("externalKey", value as object, ["get", "set"]);
  const { get, set } = value as ExternalKey;
  return {
    get: synchronous("read a session's id", "externalKey.get", get.bind(value)),
    set: synchronous("send a session's id", "externalKey.set", set.bind(value)),
  };
}

/** A function whose result is used at once. */
function callback<A extends unknown[]>(
  o: OptionReader,
  name: string,
  action: string,
): ((...args: A) => unknown) | undefined {
  const call = o.callable(name) as ((...args: A) => unknown) | undefined;
  return call && synchronous(action, name, call);
}

function readGenid(o: OptionReader): ((ctx: never) => string) | undefined {
  const genid = o.callable("genid");
  return genid && ((ctx) => {
    const id = genid(ctx);
    if (typeof id !== "string" || id === "") {
      refuseResult("begin a session", "genid", "a non-empty string", id);
    }
    return id;
  });
}

function readOnConflict(o: OptionReader): ResolvedOptions["onConflict"] {
  const value = o.oneOf(
    "onConflict",
    ["last", "reject"],
    "a function",
    isFunction,
  ) as ResolvedOptions["onConflict"] | undefined;
  return typeof value === "function"
    ? synchronous("merge two writes", "onConflict", value)
    : value ?? "last";
}

function readAppKeys(o: OptionReader): readonly string[] | undefined {
  const keys = o.get("appKeys");
  if (keys === undefined) return undefined;
  const valid = Array.isArray(keys) && keys.length > 0 &&
    keys.every((key) => typeof key === "string" && key !== "");
  if (!valid) o.wrong("appKeys", "an array of at least one string", keys);
  return keys as string[];
}

function readOnSessionEnd(o: OptionReader): OnSessionEnd {
  const value = o.oneOf(
    "onSessionEnd",
    ["keep", "disconnect"],
    "{ disconnectAfter: ms }",
    (value) =>
      typeof value === "object" && value !== null && "disconnectAfter" in value,
  );
  if (typeof value === "object") {
    const { disconnectAfter, event } = value as {
      disconnectAfter: unknown;
      event?: unknown;
    };
    checkEndEvent(o, event);
    o.number(
      "onSessionEnd.disconnectAfter",
      `a number of ms from 0 to ${MAX_TIMER}`,
      disconnectAfter,
      (ms) => ms >= 0 && ms <= MAX_TIMER,
    );
  }
  return (value ?? "keep") as OnSessionEnd;
}

/** Socket.IO throws at some of these names; clients would confuse the others with the bridge's own events. */
function checkEndEvent(o: OptionReader, event: unknown): void {
  if (event === undefined) return;
  const name = "onSessionEnd.event";
  const expected = "the name of an event that is neither Socket.IO's nor ours";
  if (typeof event !== "string") o.wrong(name, expected, event);
  if (event === "" || RESERVED_EVENTS.has(event)) {
    o.wrong(name, expected, event, RangeError);
  }
}

function readSchema(o: OptionReader): SessionSchema | undefined {
  const value = o.get("schema");
  if (value === undefined || isSchema(value)) return value;
  o.wrong("schema", "a Standard Schema validator (version 1)", value);
}

function readOrigin(o: OptionReader): OriginOption {
  const value = o.oneOf(
    "origin",
    ["cors", "same", "any"],
    "an array of origins, a RegExp or a function",
    (value) =>
      Array.isArray(value) || value instanceof RegExp || isFunction(value),
  );
  for (const one of Array.isArray(value) ? value : []) {
    const expected = 'an array of origins such as "https://example.com"';
    if (typeof one !== "string") o.wrong("origin", expected, one);
    if (!URL.canParse(one) || new URL(one).origin !== one) {
      o.wrong("origin", expected, one, RangeError);
    }
  }
  return (Array.isArray(value) ? [...value] : value ?? "cors") as OriginOption;
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function readMaxWaiting(o: OptionReader): number | undefined {
  const value = o.get("maxWaiting");
  if (value === undefined) return undefined;
  const expected = "a whole number of calls, at least 1";
  const fits = (n: number) => Number.isInteger(n) && n >= 1;
  return o.number("maxWaiting", expected, value, fits);
}
