/**
 * What the caller gave, checked once and made whole.
 *
 * @module
 */
import type { Conflict } from "./events.ts";
import { generateUid } from "./ids.ts";
import type { CookieOptions } from "./koa.ts";
import type { OriginOption } from "./origin.ts";
import {
  type AtomicStore,
  type BasicStore,
  ONE_DAY,
  type SessionData,
  SessionStore,
} from "./store.ts";

/** A class whose instances are stores, made for each Koa context. */
export type ContextStoreClass = new (ctx: never) => BasicStore;

/** Reads and writes the session's id elsewhere than in a cookie. */
export interface ExternalKey {
  /** The id, or a falsy value; in a handshake `ctx.handshake` is there. */
  get(ctx: never): string | undefined | null;
  /** Hands the id out. */
  set(ctx: never, id: string): void;
}

/** What becomes of the sockets of a session that ended. */
export type OnSessionEnd =
  | "keep"
  | "disconnect"
  | { readonly disconnectAfter: number };

/**
 * The options of `bridgeSession`. `null` counts as left out. Each option of
 * koa-session 7 is one too, and what is unknown goes on to the cookies.
 */
export interface BridgeOptions<S extends object = SessionData> {
  /** The name of the session cookie. @default `generateUid(12)` */
  readonly key?: string | null | undefined;
  /** The name of the client cookie; it too is a secret. @default `` `${key}.cid` `` */
  readonly clientKey?: string | null | undefined;
  /** How long a session lives without activity, in ms, or `"session"`. @default {2_592_000_000} 30 days */
  readonly maxAge?: number | "session" | null | undefined;
  /** How long the client cookie lives, in ms. @default {31_536_000_000} 1 year */
  readonly clientMaxAge?: number | null | undefined;
  /** Whether the client cookie is refreshed on each response. @default {true} */
  readonly clientAlwaysRoll?: boolean | null | undefined;
  /** Sets `app.keys`. */
  readonly appKeys?: readonly string[] | null | undefined;
  /** Where sessions are kept. @default `new SessionStore(options)` */
  readonly store?: BasicStore | AtomicStore | null | undefined;
  /** A class whose instances are the store of each request. */
  readonly ContextStore?: ContextStoreClass | null | undefined;
  /** Handed to the default store. @default {true} */
  readonly autoCleanup?: boolean | null | undefined;
  /** Handed to the default store, in ms. @default `maxAge / 10`, 1 s to 1 h */
  readonly autoCleanupMs?: number | null | undefined;
  /** Whether cookies are signed. @default {true} */
  readonly signed?: boolean | null | undefined;
  /** Whether a request commits its session by itself. @default {true} */
  readonly autoCommit?: boolean | null | undefined;
  /** Whether the session cookie is sent with every response. @default {false} */
  readonly rolling?: boolean | null | undefined;
  /** Whether the session cookie is renewed past half of its life. @default {false} */
  readonly renew?: boolean | null | undefined;
  /** Cookie attribute. @default {true} */
  readonly httpOnly?: boolean | null | undefined;
  /** Cookie attribute. @default whether the connection is secure */
  readonly secure?: boolean | null | undefined;
  /** Cookie attribute: `"strict"`, `"lax"` or `"none"`. */
  readonly sameSite?: string | boolean | null | undefined;
  /** Cookie attribute. */
  readonly domain?: string | null | undefined;
  /** Cookie attribute. @default {"/"} */
  readonly path?: string | null | undefined;
  /** Whether a cookie replaces one of the same name in the same answer. @default {true} */
  readonly overwrite?: boolean | null | undefined;
  /** Put before each generated id, unless `genid` is given. */
  readonly prefix?: string | null | undefined;
  /** Makes session ids. @default 144 random bits */
  readonly genid?: ((ctx: never) => string) | null | undefined;
  /** Reads and writes the session's id elsewhere than in a cookie. */
  readonly externalKey?: ExternalKey | null | undefined;
  /** Whether a stored session may be used with this request. */
  readonly valid?: ((ctx: never, session: S) => unknown) | null | undefined;
  /** Called before koa-session saves. */
  readonly beforeSave?:
    | ((ctx: never, session: S) => unknown)
    | null
    | undefined;
  /** koa-session's; of no use with a store. */
  readonly encode?: ((data: never) => string) | null | undefined;
  /** koa-session's; of no use with a store. */
  readonly decode?: ((text: string) => unknown) | null | undefined;
  /** What becomes of the sockets of a session that ended. @default {"keep"} */
  readonly onSessionEnd?: OnSessionEnd | null | undefined;
  /** Who wins when two writers changed the same key to different values. @default {"last"} */
  readonly onConflict?:
    | "last"
    | "reject"
    | ((conflict: Conflict) => unknown)
    | null
    | undefined;
  /** When a session ends however active it is, in ms from its creation. */
  readonly absoluteMaxAge?: number | null | undefined;
  /** How often at most socket activity prolongs a session, in ms; `false` for never. @default `maxAge / 10`, at most 1 minute */
  readonly touchInterval?: number | false | null | undefined;
  /** Whom a session belongs to: the index for "log out everywhere". */
  readonly user?: ((session: S) => string | undefined) | null | undefined;
  /** Who may open a socket with cookies. @default {"cors"} */
  readonly origin?: OriginOption | null | undefined;
  /** How long to wait for a session, and to hold one, in ms. @default {5_000} */
  readonly lockTimeout?: number | null | undefined;
  /** How long the store may take for an answer, in ms. @default {5_000} */
  readonly storeTimeout?: number | null | undefined;
  /** How often live sessions are checked against a shared store, in ms. @default {60_000} */
  readonly reconcileInterval?: number | null | undefined;
  /** Goes on to the cookies. */
  readonly [attribute: string]: unknown;
}

/** The options, complete. */
export interface ResolvedOptions {
  readonly key: string;
  readonly clientKey: string;
  readonly randomKey: boolean;
  readonly maxAge: number | "session";
  readonly clientAlwaysRoll: boolean;
  readonly signed: boolean;
  readonly rolling: boolean;
  readonly appKeys: readonly string[] | undefined;
  readonly store: BasicStore | AtomicStore | undefined;
  readonly ownStore: boolean;
  readonly ContextStore: ContextStoreClass | undefined;
  readonly externalKey: ExternalKey | undefined;
  readonly valid: ((ctx: never, session: never) => unknown) | undefined;
  readonly ownGenid: boolean;
  readonly genid: (ctx: never) => string;
  readonly onSessionEnd: OnSessionEnd;
  readonly onConflict: "last" | "reject" | ((conflict: Conflict) => unknown);
  readonly absoluteMaxAge: number | undefined;
  readonly touchInterval: number | false;
  readonly user: ((session: SessionData) => string | undefined) | undefined;
  readonly origin: OriginOption;
  readonly lockTimeout: number;
  readonly storeTimeout: number;
  readonly reconcileInterval: number;
  /** What koa-session is handed, but for the store and the external key. */
  readonly native: Readonly<Record<string, unknown>>;
  /** The client cookie's. */
  readonly clientCookie: CookieOptions;
}

const MINUTE = 60_000;
const THIRTY_DAYS = 30 * ONE_DAY;
const ONE_YEAR = 365 * ONE_DAY;
/** The longest delay of a timer. */
const MAX_TIMER = 2 ** 31 - 1;
/** A cookie's name is a token (RFC 6265, 4.1.1; RFC 9110, 5.6.2). */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
/** The length of a session id: 144 random bits; OWASP ASVS 7.2.3 asks for 128. */
const SESSION_ID_LENGTH = 24;

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

/** Reads one option after the other; what is wrong is refused by name. */
class Reader {
  readonly #given: Readonly<Record<string, unknown>>;

  constructor(given: Readonly<Record<string, unknown>>) {
    this.#given = given;
  }

  get(name: string): unknown {
    return this.#given[name] ?? undefined;
  }

  wrong(name: string, expected: string, came: unknown, range = false): never {
    const message =
      `Cannot bridge sessions as the option ${name} must be ${expected}: received ${
        show(came)
      }`;
    throw range ? new RangeError(message) : new TypeError(message);
  }

  boolean(name: string): boolean | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "boolean") return value;
    this.wrong(name, "a boolean", value);
  }

  string(name: string): string | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "string") return value;
    this.wrong(name, "a string", value);
  }

  token(name: string): string | undefined {
    const value = this.string(name);
    if (value === undefined || TOKEN.test(value)) return value;
    this.wrong(
      name,
      "a cookie name (letters, digits and -_.~ among others)",
      value,
      true,
    );
  }

  // deno-lint-ignore ban-types
  callable(name: string): Function | undefined {
    const value = this.get(name);
    if (value === undefined || typeof value === "function") return value;
    this.wrong(name, "a function", value);
  }

  ms(name: string, max = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const expected = max === MAX_TIMER
      ? `a number of ms above 0 and at most ${MAX_TIMER}`
      : "a number of ms above 0";
    if (typeof value !== "number") this.wrong(name, expected, value);
    if (!(value > 0 && value <= max)) this.wrong(name, expected, value, true);
    return value;
  }

  oneOf<T extends string>(
    name: string,
    values: readonly T[],
    more: string,
    isMore: (value: unknown) => boolean,
  ): T | object | undefined {
    const value = this.get(name);
    if (value === undefined || values.includes(value as T) || isMore(value)) {
      return value as T | object | undefined;
    }
    const expected = `${
      values.map((one) => JSON.stringify(one)).join(", ")
    } or ${more}`;
    this.wrong(name, expected, value, typeof value === "string");
  }
}

/**
 * Checks the options and fills in what was left out. The object given is not changed.
 *
 * @throws {TypeError} for an option of the wrong type
 * @throws {RangeError} for one out of range
 */
export function resolveOptions(given: unknown): ResolvedOptions {
  const options = given ?? {};
  if (typeof options !== "object" || Array.isArray(options)) {
    throw new TypeError(
      `Cannot bridge sessions as options must be an object: received ${
        show(given)
      }`,
    );
  }
  const o = new Reader(options as Record<string, unknown>);
  const key = o.token("key") ?? generateUid(12);
  const clientKey = o.token("clientKey") ?? `${key}.cid`;
  if (clientKey === key) {
    o.wrong("clientKey", "another name than the option key", clientKey, true);
  }
  const maxAge = readMaxAge(o);
  const idle = maxAge === "session" ? ONE_DAY : maxAge;
  const signed = o.boolean("signed") ?? true;
  const { store, ContextStore } = readStores(o);
  const prefix = o.string("prefix") ?? "";
  const genid = o.callable("genid") as ((ctx: never) => string) | undefined;
  for (const name of ["valid", "beforeSave", "encode", "decode"]) {
    o.callable(name);
  }
  for (
    const name of [
      "autoCommit",
      "renew",
      "httpOnly",
      "secure",
      "overwrite",
      "autoCleanup",
    ]
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
  o.ms("autoCleanupMs", MAX_TIMER);
  const rolling = o.boolean("rolling") ?? false;
  const makeId = genid ?? (() => prefix + generateUid(SESSION_ID_LENGTH));
  return Object.freeze({
    key,
    clientKey,
    randomKey: o.get("key") === undefined,
    maxAge,
    clientAlwaysRoll: o.boolean("clientAlwaysRoll") ?? true,
    signed,
    rolling,
    appKeys: readAppKeys(o),
    store: ContextStore ? undefined : store ?? defaultStore(o, maxAge),
    ownStore: !ContextStore && !store,
    ContextStore,
    externalKey: readExternalKey(o),
    valid: o.callable("valid") as ResolvedOptions["valid"],
    ownGenid: genid !== undefined,
    genid: makeId,
    onSessionEnd: readOnSessionEnd(o),
    onConflict:
      (o.oneOf("onConflict", ["last", "reject"], "a function", isFunction) ??
        "last") as ResolvedOptions["onConflict"],
    absoluteMaxAge: o.ms("absoluteMaxAge"),
    touchInterval: o.get("touchInterval") === false
      ? false
      : o.ms("touchInterval") ?? Math.min(idle / 10, MINUTE),
    user: o.callable("user") as ResolvedOptions["user"],
    origin: readOrigin(o),
    lockTimeout: o.ms("lockTimeout", MAX_TIMER) ?? 5_000,
    storeTimeout: o.ms("storeTimeout", MAX_TIMER) ?? 5_000,
    reconcileInterval: o.ms("reconcileInterval", MAX_TIMER) ?? MINUTE,
    native: nativeOptions(options as Record<string, unknown>, {
      key,
      maxAge,
      signed,
      rolling,
      genid: makeId,
    }),
    clientCookie: clientCookie(
      options as Record<string, unknown>,
      signed,
      o.ms("clientMaxAge") ?? ONE_YEAR,
    ),
  });
}

function readMaxAge(o: Reader): number | "session" {
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

function defaultStore(o: Reader, maxAge: number | "session"): SessionStore {
  return new SessionStore({
    maxAge,
    autoCleanup: o.boolean("autoCleanup"),
    autoCleanupMs: o.ms("autoCleanupMs"),
    maxEntries: o.get("maxEntries") as number | undefined,
  });
}

const ATOMIC = [
  "read",
  "write",
  "extend",
  "destroy",
  "movedTo",
  "byClient",
  "byUser",
];
const SHARED = ["acquire", "commit", "byHash", "versions", "close"];

function readStores(o: Reader): {
  store: BasicStore | AtomicStore | undefined;
  ContextStore: ContextStoreClass | undefined;
} {
  const store = o.get("store");
  const ContextStore = o.get("ContextStore");
  if (store !== undefined && ContextStore !== undefined) {
    throw new TypeError(
      "Cannot bridge sessions as the options store and ContextStore exclude each other: received both",
    );
  }
  if (store !== undefined) {
    if (typeof store !== "object") {
      o.wrong("store", "an object with get, set and destroy", store);
    }
    const { scope } = store as { scope?: unknown };
    const atomic = scope === "process" || scope === "shared";
    const names = !atomic
      ? ["get", "set", "destroy"]
      : scope === "shared"
      ? [...ATOMIC, ...SHARED]
      : ATOMIC;
    needMethods("store", store as object, names);
    if ("on" in (store as object)) {
      needMethods("store", store as object, ["on"]);
    }
  }
  if (ContextStore !== undefined) {
    const prototype = typeof ContextStore === "function"
      ? ContextStore.prototype
      : undefined;
    if (typeof prototype !== "object" || prototype === null) {
      o.wrong(
        "ContextStore",
        "a class with get, set and destroy",
        ContextStore,
      );
    }
    needMethods("ContextStore", prototype, ["get", "set", "destroy"]);
  }
  return {
    store: store as BasicStore | AtomicStore | undefined,
    ContextStore: ContextStore as ContextStoreClass | undefined,
  };
}

function needMethods(
  name: string,
  holder: object,
  methods: readonly string[],
): void {
  const missing = methods.filter((method) =>
    typeof (holder as Record<string, unknown>)[method] !== "function"
  );
  if (missing.length > 0) {
    throw new TypeError(
      `Cannot bridge sessions as the option ${name} must have the methods ${
        methods.join(", ")
      }: received one without ${missing.join(", ")}`,
    );
  }
}

function readExternalKey(o: Reader): ExternalKey | undefined {
  const value = o.get("externalKey");
  if (value === undefined) return undefined;
  if (typeof value !== "object") {
    o.wrong("externalKey", "an object with get and set", value);
  }
  needMethods("externalKey", value as object, ["get", "set"]);
  return value as ExternalKey;
}

function readAppKeys(o: Reader): readonly string[] | undefined {
  const keys = o.get("appKeys");
  if (keys === undefined) return undefined;
  const valid = Array.isArray(keys) && keys.length > 0 &&
    keys.every((key) => typeof key === "string" && key !== "");
  if (!valid) o.wrong("appKeys", "an array of at least one string", keys);
  return keys as string[];
}

function readOnSessionEnd(o: Reader): OnSessionEnd {
  const value = o.oneOf(
    "onSessionEnd",
    ["keep", "disconnect"],
    "{ disconnectAfter: ms }",
    (value) =>
      typeof value === "object" && value !== null && "disconnectAfter" in value,
  );
  if (typeof value === "object") {
    const { disconnectAfter } = value as { disconnectAfter: unknown };
    const expected = `a number of ms from 0 to ${MAX_TIMER}`;
    const name = "onSessionEnd.disconnectAfter";
    if (typeof disconnectAfter !== "number") {
      o.wrong(name, expected, disconnectAfter);
    }
    if (!(disconnectAfter >= 0 && disconnectAfter <= MAX_TIMER)) {
      o.wrong(name, expected, disconnectAfter, true);
    }
  }
  return (value ?? "keep") as OnSessionEnd;
}

function readOrigin(o: Reader): OriginOption {
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
      o.wrong("origin", expected, one, true);
    }
  }
  return (Array.isArray(value) ? [...value] : value ?? "cors") as OriginOption;
}

function isFunction(value: unknown): boolean {
  return typeof value === "function";
}

function nativeOptions(
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

function clientCookie(
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

function show(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") return String(value);
  return typeof value === "object" ? "an object" : typeof value;
}
