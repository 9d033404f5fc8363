/**
 * What a request knows of its session, and how `ctx.session` is kept in step.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { GenuineCookie } from "../identity/id_cookie.ts";
import type { KoaContext } from "../api/koa.ts";
import { assignDeep, diff, merge } from "../transaction/patch.ts";
import type { Rotation } from "../transaction/rotation.ts";
import type { RootScope } from "../transaction/scope.ts";
import type { SessionData, StoredRecord } from "../api/store.ts";
import type {
  TransactionCaller,
  Transactions,
} from "../transaction/transactions.ts";

/** What came with a request, as far as it can be believed. */
export interface RequestIds {
  readonly sid: string | undefined;
  readonly clientId: string | undefined;
  readonly sessionCookie: GenuineCookie | undefined;
  readonly clientCookie: GenuineCookie | undefined;
}

/** What a request knows of its session. */
export interface RequestState {
  readonly received: RequestIds;
  clientId: string;
  /** The session's id. */
  sid: string | undefined;
  /** The id that koa-session takes it for: the two differ when somebody else regenerated it. */
  koaSid: string | undefined;
  /** What was loaded, or stored last: the base of the next patch. */
  record: StoredRecord | undefined;
  /** Whether the session is over, by this request or by somebody else. */
  ended: boolean;
  /** Whether it was this request that ended it: what is assigned afterwards is a new one. */
  endedHere: boolean;
  /** Whether the session cookie is somebody else's to send. */
  cookieSuppressed: boolean;
  /** How many changes of id koa-session has begun and not yet saved. */
  regenerations: number;
  /** Settles when koa-session's call to the store that is under way is over. */
  pending: Promise<void> | undefined;
  /** How its id is changed, when it is. */
  rotation: Rotation;
}

/** Where a context keeps it. */
export const STATE: unique symbol = Symbol("koa-io-session");
/** Where sockets follow a session to its new id. */
export const FOLLOW: Rotation = { sockets: "follow", clientId: undefined };

/** A Koa context with what its request knows. */
export type Context = KoaContext & { [STATE]?: RequestState };

/**
 * koa-session's calls to the store, one after another: a `save()` that nobody
 * waits for must not meet the commit at the end of the request.
 */
export async function serialized(
  state: RequestState,
  act: (state: RequestState) => Promise<void>,
): Promise<void> {
  while (state.pending) await state.pending;
  let over!: () => void;
  state.pending = new Promise((resolve) => over = resolve);
  try {
    await act(state);
  } finally {
    state.pending = undefined;
    over();
  }
}

/** How many turns of the event loop a change of id may take from one call of koa-session to the next. */
const MAX_TURNS = 10;

/** Waits for what the handler began and did not wait for, so that its cookie is in the answer. */
export async function settlePending(state: RequestState): Promise<void> {
  for (let turns = 0; turns < MAX_TURNS; turns++) {
    while (state.pending) await state.pending;
    if (state.regenerations === 0) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

/** The id of `ctx.session`, once it is stored. */
export function sessionIdOf(ctx: Context): string | undefined {
  const state = ctx[STATE];
  if (!state?.record || state.ended) return undefined;
  const { session } = ctx;
  return session && session.externalKey === state.sid ? state.sid : undefined;
}

/** koa-session's object keeps the id it was made with. */
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

/** The request's own changes go into a transaction, and its result comes out into `ctx.session`. */
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
      const data = transactions.editor.rebased(
        held.sid,
        state.record!,
        before,
        held.record,
      );
      if (data !== held.record.data) scope.session = JSON.parse(data);
    },
    leave(sid: string, record: StoredRecord | undefined): void {
      if (!record) {
        state.ended = state.endedHere = true;
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
 * Makes `ctx.session` show what is stored: what others put there is no
 * deletion of this request. What it changed beside stays its own pending change.
 *
 * @param before the JSON text of `ctx.session` that went into what is stored
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

/** Makes koa-session's object show the data, in place; its own members stay. */
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
