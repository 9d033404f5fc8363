/**
 * koa-session's object and a record, one from the other: where koa-session
 * keeps the end of its cookie among the data, a record keeps it beside them.
 *
 * @module
 */
import type { KoaContext } from "./koa.ts";
import { ONE_DAY, type SessionData, type SessionRecord } from "./store.ts";
import type { Commit } from "./transaction.ts";

/** The object that koa-session is to load. */
export function toNative(record: SessionRecord): SessionData {
  const data = JSON.parse(record.data) as SessionData;
  if (record.cookie === "session") {
    data._session = true;
    // an end in the past is the one that koa-session must see
    if (record.expires <= Date.now()) data._expire = record.expires;
    return data;
  }
  const now = Date.now();
  const alive = record.expires > now;
  const cookie = record.cookie ?? record.expires;
  // sockets keep a session alive past its cookie: koa-session is to renew it then, not to drop it
  data._expire = alive ? Math.max(cookie, now + 1_000) : record.expires;
  data._maxAge = record.maxAge;
  return data;
}

/** What koa-session wants to have stored. The object is its to give: it is taken apart. */
export function fromNative(data: SessionData, ctx: KoaContext): Commit {
  const { _expire, _maxAge, _session } = data;
  delete data._expire;
  delete data._maxAge;
  delete data._session;
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
