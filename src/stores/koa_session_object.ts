/**
 * koa-session's object as a store keeps it, and a record, one from the other.
 * koa-session keeps its bookkeeping among the data, under names that begin with
 * an underscore; what else the bridge needs to know stands under `_bridge`.
 *
 * @module
 */
import { ONE_DAY, type SessionData, type SessionRecord } from "../api/store.ts";
import type { KoaContext } from "../api/koa.ts";

/** What stands under the `_bridge` key of a stored object. */
interface Attached {
  readonly clientId?: string;
  readonly settled?: boolean;
  readonly absoluteEnd?: number;
  readonly cookie?: number | "session";
  /** For a session without `_expire`. */
  readonly expires?: number;
  readonly user?: string;
}

/** A store that looks ids up in a plain object may answer with a method of it. */
export function isSession(found: unknown): found is SessionData {
  return typeof found === "object" && found !== null && !Array.isArray(found);
}

/** The object that an atomic store shows to koa-session, without what the bridge knows. */
export function toSession(record: SessionRecord): SessionData {
  const session = JSON.parse(record.data) as SessionData;
  return mark(session, record.cookie, record.maxAge);
}

/** A record from koa-session's object; what the session was bound to stays. */
export function fromSession(
  session: SessionData,
  ttl: number,
  old: SessionRecord | undefined,
): SessionRecord {
  const { _expire, _maxAge, _session, ...data } = session;
  const absoluteEnd = old?.absoluteEnd;
  return {
    data: JSON.stringify(data),
    maxAge: numberOf(_maxAge) ?? ttl,
    expires: Math.min(Date.now() + ttl, absoluteEnd ?? Infinity),
    absoluteEnd,
    cookie: _session === true ? "session" : numberOf(_expire),
    clientId: old?.clientId,
    settled: old?.settled ?? false,
    user: old?.user,
  };
}

/** The object that a basic store keeps: the whole record. */
export function toStoredObject(record: SessionRecord): SessionData {
  const browser = record.cookie === "session";
  const object = mark(
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
  object._bridge = attached;
  return object;
}

/** The record that a basic store keeps, or what can be told of an object that another wrote. */
export function fromStoredObject(
  object: SessionData,
  maxAge: number | "session",
): SessionRecord {
  const data: [string, unknown][] = [];
  for (const key of Object.keys(object)) {
    // names with an underscore are koa-session's own: it drops all others of that kind
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
  };
}

/** Adds koa-session's own: when the session ends, and how long it lives. */
function mark(
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

/** What a request wants to have written. */
export interface SessionWrite {
  readonly data: string;
  readonly maxAge: number;
  readonly cookie: number | "session";
}

/** A cookie that ends this soon, in ms, could end while koa-session looks at it. */
const COOKIE_MARGIN = 20;

/** The object that koa-session is to load. */
export function toKoaSession(record: SessionRecord): SessionData {
  const data = JSON.parse(record.data) as SessionData;
  if (record.cookie === "session") {
    data._session = true;
    // an end in the past is the one that koa-session must see
    if (record.expires <= Date.now()) data._expire = record.expires;
    return data;
  }
  data._expire = cookieEnd(record, Date.now());
  data._maxAge = record.maxAge;
  return data;
}

/**
 * The end of the cookie. Sockets keep a session alive past it: koa-session is
 * to renew the cookie then, not to drop the session, so it sees a moment ahead.
 */
function cookieEnd(record: SessionRecord, now: number): number {
  const { cookie, expires, maxAge } = record;
  if (expires <= now || typeof cookie !== "number") return expires;
  return cookie > now + COOKIE_MARGIN
    ? cookie
    : now + Math.min(1_000, Math.max(maxAge / 4, 1));
}

/** What koa-session wants to have stored. The object is its to give: it is taken apart. */
export function fromKoaSession(
  data: SessionData,
  ctx: KoaContext,
): SessionWrite {
  const { _expire, _maxAge, _session } = data;
  // last come, first gone: any other order would turn the object into a slow dictionary
  delete data._session;
  delete data._maxAge;
  delete data._expire;
  // after its first save of a browser-session, koa-session forgets that it was one
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
