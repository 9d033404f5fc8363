/**
 * Converts between records and koa-session's objects, as stored and as loaded.
 * koa-session keeps its bookkeeping among the data, under names that begin with
 * an underscore; the bridge's further fields are under `_bridge`.
 *
 * @module
 */
import { ONE_DAY, type SessionData, type SessionRecord } from "../api/store.ts";
import type { KoaContext } from "../api/koa.ts";
import { parseOwned } from "../base/owned_json.ts";

/** The fields under the `_bridge` key of a stored object. */
interface Attached {
  readonly clientId?: string;
  readonly settled?: boolean;
  readonly absoluteEnd?: number;
  readonly cookie?: number | "session";
  /** For a session without `_expire`. */
  readonly expires?: number;
  readonly user?: string;
  readonly created?: number;
  readonly authenticatedAt?: number;
  readonly lastUsed?: number;
  readonly arrived?: number;
  readonly meta?: string;
  readonly handle?: string;
}

/** The fields that are copied to and from a stored object as they are. */
const NUMBERS = ["created", "authenticatedAt", "lastUsed", "arrived"] as const;
const TEXTS = ["meta", "handle"] as const;

/** Whether a store returned a session: one that looks ids up in a plain object may return its methods. */
export function isSession(found: unknown): found is SessionData {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

/** The object that an atomic store returns to koa-session, without the bridge's fields. */
export function toSession(record: SessionRecord): SessionData {
  const session = JSON.parse(record.data) as SessionData;
  return addBookkeeping(session, record.cookie, record.maxAge);
}

/** A record from koa-session's object; what is not in it is that of the old record. */
export function fromSession(
  session: SessionData,
  ttl: number,
  old: SessionRecord | undefined,
): SessionRecord {
  const { _expire, _maxAge, _session, ...data } = session;
  const absoluteEnd = old?.absoluteEnd;
  const now = Date.now();
  return {
    data: JSON.stringify(data),
    maxAge: numberOf(_maxAge) ?? ttl,
    expires: Math.min(now + ttl, absoluteEnd ?? Infinity),
    absoluteEnd,
    cookie: _session === true ? "session" : numberOf(_expire),
    clientId: old?.clientId,
    settled: old?.settled ?? false,
    user: old?.user,
    created: old?.created,
    authenticatedAt: old?.authenticatedAt,
    lastUsed: now,
    arrived: old?.arrived,
    meta: old?.meta,
    handle: old?.handle,
  };
}

/** The object for a basic store: the whole record. */
export function toStoredObject(record: SessionRecord): SessionData {
  const browser = record.cookie === "session";
  const object = addBookkeeping(
    JSON.parse(record.data) as SessionData,
    browser ? "session" : record.expires,
    record.maxAge,
  );
  const attached: { -readonly [K in keyof Attached]: Attached[K] } = {};
  if (record.clientId !== undefined) attached.clientId = record.clientId;
  if (record.settled) attached.settled = true;
  if (record.absoluteEnd !== undefined) {
    attached.absoluteEnd = record.absoluteEnd;
  }
  if (browser) attached.expires = record.expires;
  else if (record.cookie !== undefined) attached.cookie = record.cookie;
  if (record.user !== undefined) attached.user = record.user;
  for (const name of NUMBERS) {
    const value = record[name];
    if (value !== undefined) attached[name] = value;
  }
  for (const name of TEXTS) {
    const value = record[name];
    if (value !== undefined) attached[name] = value;
  }
  object._bridge = attached;
  return object;
}

/** The record from an object of a basic store; with defaults if other software has written it. */
export function fromStoredObject(
  object: SessionData,
  maxAge: number | "session",
): SessionRecord {
  const data: [string, unknown][] = [];
  for (const key of Object.keys(object)) {
    // names with a leading underscore are reserved by koa-session, which drops unknown ones
    if (key[0] !== "_") data.push([key, object[key]]);
  }
  const attached =
    (isSession(object._bridge) ? object._bridge : {}) as Attached;
  const expire = numberOf(object._expire);
  const browser = object._session === true || attached.cookie === "session";
  const life = numberOf(object._maxAge) ??
    (browser || maxAge === "session" ? ONE_DAY : maxAge);
  return {
    data: JSON.stringify(Object.fromEntries(data)),
    maxAge: life,
    expires: expire ?? attached.expires ?? Date.now() + life,
    absoluteEnd: attached.absoluteEnd,
    cookie: browser ? "session" : attached.cookie ?? expire,
    clientId: attached.clientId,
    settled: attached.settled === true,
    user: attached.user,
    created: numberOf(attached.created),
    authenticatedAt: numberOf(attached.authenticatedAt),
    lastUsed: numberOf(attached.lastUsed),
    arrived: numberOf(attached.arrived),
    meta: textOf(attached.meta),
    handle: textOf(attached.handle),
  };
}

/** Adds koa-session's bookkeeping: when the session ends, and how long it lives. */
function addBookkeeping(
  session: SessionData,
  end: number | "session" | undefined,
  maxAge: number,
): SessionData {
  if (end === "session") session._session = true;
  else if (end !== undefined) {
    session._expire = end;
    session._maxAge = maxAge;
  }
  return session;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** The fields of a session that a request writes. */
export interface SessionWrite {
  readonly data: string;
  readonly maxAge: number;
  readonly cookie: number | "session";
}

/** A cookie that ends within this many ms could end while koa-session processes it. */
const COOKIE_MARGIN = 20;

/** The object that koa-session loads. */
export function toKoaSession(record: SessionRecord): SessionData {
  const data = parseOwned<SessionData>(record.data);
  if (record.cookie === "session") {
    data._session = true;
    // koa-session must see an end in the past
    if (record.expires <= Date.now()) data._expire = record.expires;
    return data;
  }
  data._expire = cookieEnd(record, Date.now());
  data._maxAge = record.maxAge;
  return data;
}

/**
 * The end of the cookie. Sockets can keep a session alive past it: koa-session
 * is to renew the cookie then, not to drop the session, so the end is set a
 * little in the future.
 */
function cookieEnd(record: SessionRecord, now: number): number {
  const { cookie, expires, maxAge } = record;
  if (expires <= now || typeof cookie !== "number") return expires;
  return cookie > now + COOKIE_MARGIN
    ? cookie
    : now + Math.min(1_000, Math.max(maxAge / 4, 1));
}

/** The write from the object that koa-session saves. The object is modified. */
export function fromKoaSession(
  data: SessionData,
  ctx: KoaContext,
): SessionWrite {
  const { _expire, _maxAge, _session } = data;
  // in reverse order of their addition: any other order turns the object into a slow dictionary
  delete data._session;
  delete data._maxAge;
  delete data._expire;
  // after the first save of a browser-session, koa-session no longer marks it as one
  const browser = _session === true || ctx.sessionOptions.maxAge === undefined;
  const maxAge = !browser && typeof _maxAge === "number" ? _maxAge : ONE_DAY;
  return {
    data: JSON.stringify(data),
    maxAge,
    cookie: browser
      ? "session"
      : typeof _expire === "number"
      ? _expire
      : Date.now() + maxAge,
  };
}
