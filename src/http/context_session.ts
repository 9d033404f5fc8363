/**
 * Keeping `ctx.session` in step with what is stored.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import { SessionEndedError } from "../api/errors.ts";
import type { KoaContext } from "../api/koa.ts";
import type { SessionData, StoredRecord } from "../api/store.ts";
import { parseOwned } from "../base/owned_json.ts";
import { hasOwn } from "../base/own_keys.ts";
import type { SessionWrite } from "../stores/koa_session_object.ts";
import { excuse } from "../transaction/late_changes.ts";
import { assignDeep, diff, merge } from "../transaction/patch.ts";
import { assertName } from "../transaction/reserved_names.ts";
import { isSameLife, type Life } from "../transaction/record_builder.ts";
import type { RootScope } from "../transaction/scope.ts";
import type { SocketRotation } from "../transaction/session_observer.ts";
import type { TransactionCaller } from "../transaction/session_calls.ts";
import type { Transactions } from "../transaction/transactions.ts";
import { forceCommit, heldSession } from "./installation.ts";
import {
  type Context,
  isLive,
  type RequestState,
  STATE,
} from "./request_state.ts";

/** The id of `ctx.session` once it is stored. */
export function sessionIdOf(ctx: Context): string | undefined {
  const state = ctx[STATE];
  if (!state?.record || !isLive(state)) return undefined;
  const { session } = ctx;
  return session && session.externalKey === state.sid ? state.sid : undefined;
}

/** Sets the id on koa-session's object, which keeps the one it was made with. */
export function setExternalKey(session: object | null, sid: string): void {
  if (!session || (session as { externalKey?: string }).externalKey === sid) {
    return;
  }
  Object.defineProperty(session, "externalKey", {
    value: sid,
    configurable: true,
    writable: true,
  });
}

/**
 * Carries the request's pending changes into a transaction, and its result out
 * into `ctx.session`.
 *
 * @param cookies `rotated`: the transaction has given the session a new id;
 * `followed`: another request has, whose response has the cookie
 */
export function requestChanges(
  ctx: Context,
  state: RequestState,
  transactions: Transactions,
  cookies: { rotated(): void; followed(): void },
): NonNullable<TransactionCaller["carry"]> {
  let base: StoredRecord | undefined;
  let entered: RootScope | undefined;
  return {
    enter(scope: RootScope): void {
      const { held } = scope;
      // ended by the request itself, while the call waited
      if (!ctx.session || !state.record) throw new SessionEndedError("logout");
      const before = JSON.stringify(ctx.session);
      base = state.record;
      entered = scope;
      const data = transactions.records.rebased(
        held.sid,
        state.record,
        before,
        held.record,
      );
      if (data !== held.record.data) scope.session = parseOwned(data);
      if (before !== base.data) {
        scope.noteApplied(state, { ...base, data: before });
      }
    },
    leave(
      sid: string,
      record: StoredRecord | undefined,
      sockets?: SocketRotation,
    ): void {
      if (!record) {
        state.phase = "endedHere";
        state.record = undefined;
        ctx.session = null;
        return;
      }
      const isFollowing = sockets === undefined && sid !== state.sid &&
        !state.hasMovedTo(sid);
      state.sid = sid;
      if (record.version !== state.record?.version) noteStored(ctx, state);
      const shown = state.record === base ? undefined : state.record;
      state.record = record;
      const { data: before } = entered!.baseOf(state, base!);
      syncSession(ctx, before, record.data, shown?.data);
      setExternalKey(ctx.session, sid);
      if (isFollowing) return cookies.followed();
      if (sockets === undefined) return;
      state.noteRotation(sockets);
      cookies.rotated();
    },
  };
}

/**
 * Records that the session was stored during the request: koa-session compares
 * with what it loaded, and would not commit a change back to that.
 */
export function noteStored(ctx: Context, state: RequestState): void {
  state.stored = true;
  forceCommit(ctx);
}

/**
 * Makes `ctx.session` show what is stored, so that a key which another writer
 * added does not count as deleted by this request. Later changes of this
 * request stay pending.
 *
 * @param before the JSON text of `ctx.session` that was merged into what is stored
 * @param shown the stored data that `ctx.session` shows, where another write of
 * this request has changed that since `before`
 */
export function syncSession(
  ctx: KoaContext,
  before: string,
  stored: string,
  shown?: string,
): void {
  const { session } = ctx;
  if (!session) return;
  if (shown !== undefined) {
    return syncOverlapped(session, before, stored, shown);
  }
  if (before === stored) return;
  const now = JSON.stringify(session);
  const data = JSON.parse(stored) as SessionData;
  const next = now === before ? data : merge(
    JSON.parse(before),
    diff(JSON.parse(before), JSON.parse(now)),
    data,
    ({ mine }) => mine,
  ).data;
  show(session, next);
}

/** The same for a write that overlapped another one of the request: only what neither has stored is pending. */
function syncOverlapped(
  session: SessionData & { toJSON(): SessionData },
  before: string,
  stored: string,
  shown: string,
): void {
  const now = JSON.parse(JSON.stringify(session)) as SessionData;
  const carried = JSON.parse(before) as SessionData;
  const pending = [...diff(JSON.parse(shown), now)]
    .filter(([key, value]) => !isDeepStrictEqual(carried[key], value));
  const data = JSON.parse(stored) as SessionData;
  show(session, merge(data, new Map(pending), data, ({ mine }) => mine).data);
}

/** Replaces the data of koa-session's object in place; its own members stay. */
function show(
  session: SessionData & { toJSON(): SessionData },
  data: SessionData,
): void {
  excuse(session);
  const held = session.toJSON();
  assignDeep(held, data);
  for (const key of Object.keys(session.toJSON())) {
    if (!hasOwn(held, key)) Reflect.deleteProperty(session, key);
  }
  Object.assign(session, held);
}

/** Sends the cookie with the life that is stored, where another request has changed it. */
export function syncLife(
  ctx: Context,
  stored: Life,
  commit: SessionWrite,
): void {
  if (isSameLife(stored, commit)) return;
  const maxAge = stored.cookie === "session" ? undefined : stored.maxAge;
  Object.assign(ctx.sessionOptions, { maxAge });
}

/** What koa-session 6 and 7 keep in the object beside the data. */
const OWN_MEMBERS = new Set([
  "isNew",
  "_requireSave",
  "_expire",
  "_maxAge",
  "_session",
  "_sessCtx",
  "_ctx",
  "_externalKey",
]);

/**
 * Checks the names that a request has set on `ctx.session`.
 *
 * @throws {TypeError} for a name that koa-session reserves
 */
export function assertSessionNames(ctx: object, before?: string): void {
  const held = heldSession(ctx);
  if (!held) return;
  for (const key of Object.keys(held)) {
    if (!OWN_MEMBERS.has(key)) assertName(key, before);
  }
}
