/**
 * The state of a request's session, and how `ctx.session` is kept in step with
 * what is stored.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { RequestIds } from "../identity/incoming_ids.ts";
import type { KoaContext } from "../api/koa.ts";
import { assignDeep, diff, merge } from "../transaction/patch.ts";
import type { Rotation } from "../transaction/rotation.ts";
import type { RootScope } from "../transaction/scope.ts";
import type { SessionData, StoredRecord } from "../api/store.ts";
import type {
  TransactionCaller,
  Transactions,
} from "../transaction/transactions.ts";

/** The state of a request's session. */
export interface RequestState {
  readonly received: RequestIds;
  clientId: string;
  /** The session's id. */
  sid: string | undefined;
  /** The id that koa-session uses for it; another one once the session was rotated elsewhere. */
  koaSid: string | undefined;
  /** The record that was loaded, or stored last: the base of the next patch. */
  record: StoredRecord | undefined;
  /**
   * `"live"`, or ended: by this request (`"endedHere"`, where a later
   * assignment creates a new session), or otherwise (`"ended"`).
   */
  phase: "live" | "ended" | "endedHere";
  /** Whether the session cookie must not be sent. */
  cookieSuppressed: boolean;
  /** Rotations that koa-session has begun and not yet saved. */
  regenerations: number;
  /** Settles with koa-session's store call in progress. */
  pending: Promise<void> | undefined;
  /** How the next rotation is done. */
  rotation: Rotation;
}

/** The key of the state on a Koa context. */
export const STATE: unique symbol = Symbol("koa-io-session");
/** The default rotation: sockets follow the session to its new id. */
export const FOLLOW: Rotation = { sockets: "follow", clientId: undefined };

/** A Koa context with the state of its request. */
export type Context = KoaContext & { [STATE]?: RequestState };

/** Whether the session has not ended. */
export function isLive({ phase }: RequestState): boolean {
  return phase === "live";
}

/**
 * Serializes koa-session's store calls: a `save()` that is not awaited must not
 * overlap the commit at the end of the request.
 */
export async function serialized(
  state: RequestState,
  act: (state: RequestState) => Promise<void>,
): Promise<void> {
  while (state.pending) await state.pending;
  let settle!: () => void;
  state.pending = new Promise((resolve) => settle = resolve);
  try {
    await act(state);
  } finally {
    state.pending = undefined;
    settle();
  }
}

/** Limit of event loop turns between two store calls of one `regenerate()`. */
const MAX_TURNS = 10;

/** Waits for calls that the handler did not await, so that their cookie is in the response. */
export async function settlePending(state: RequestState): Promise<void> {
  for (let turns = 0; turns < MAX_TURNS; turns++) {
    while (state.pending) await state.pending;
    if (state.regenerations === 0) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

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

/** Carries the request's pending changes into a transaction, and its result out into `ctx.session`. */
export function requestChanges(
  ctx: Context,
  state: RequestState,
  transactions: Transactions,
): NonNullable<TransactionCaller["carry"]> {
  let before = "";
  return {
    enter(scope: RootScope): void {
      before = JSON.stringify(ctx.session);
      const { held } = scope;
      const data = transactions.records.rebased(
        held.sid,
        state.record!,
        before,
        held.record,
      );
      if (data !== held.record.data) scope.session = JSON.parse(data);
    },
    leave(sid: string, record: StoredRecord | undefined): void {
      if (!record) {
        state.phase = "endedHere";
        state.record = undefined;
        ctx.session = null;
        return;
      }
      state.sid = sid;
      state.record = record;
      syncSession(ctx, before, record.data);
      setExternalKey(ctx.session, sid);
    },
  };
}

/**
 * Makes `ctx.session` show what is stored, so that a key which another writer
 * added does not count as deleted by this request. Later changes of this
 * request stay pending.
 *
 * @param before the JSON text of `ctx.session` that was merged into what is stored
 */
export function syncSession(
  ctx: KoaContext,
  before: string,
  stored: string,
): void {
  const { session } = ctx;
  if (!session || before === stored) return;
  const now = JSON.stringify(session);
  const data = JSON.parse(stored) as SessionData;
  const shown = now === before ? data : merge(
    JSON.parse(before),
    diff(JSON.parse(before), JSON.parse(now)),
    data,
    ({ mine }) => mine,
  ).data;
  show(session, shown);
}

/** Replaces the data of koa-session's object in place; its own members stay. */
function show(
  session: SessionData & { toJSON(): SessionData },
  data: SessionData,
): void {
  const held = session.toJSON();
  assignDeep(held, data);
  for (const key of Object.keys(session.toJSON())) {
    if (!Object.hasOwn(held, key)) Reflect.deleteProperty(session, key);
  }
  Object.assign(session, held);
}
