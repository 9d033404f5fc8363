/**
 * koa-session's object and a record, one from the other: where koa-session
 * keeps the end of its cookie among the data, a record keeps it beside them.
 *
 * @module
 */
import type { KoaContext } from "./koa.ts";
import { ONE_DAY, type SessionData, type SessionRecord } from "./store.ts";
import type { Commit } from "./editor.ts";

/** A cookie that ends this soon, in ms, could end while koa-session looks at it. */
const MOMENT = 20;

/** The object that koa-session is to load. */
export function toNative(record: SessionRecord): SessionData {
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
  return cookie > now + MOMENT
    ? cookie
    : now + Math.min(1_000, Math.max(maxAge / 4, 1));
}

/** What koa-session wants to have stored. The object is its to give: it is taken apart. */
export function fromNative(data: SessionData, ctx: KoaContext): Commit {
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
