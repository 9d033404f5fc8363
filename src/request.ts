/**
 * What a request knows of its session, and how `ctx.session` is kept in step.
 *
 * @module
 */
import type { GenuineCookie } from "./cookies.ts";
import type { KoaContext } from "./koa.ts";
import { assignDeep, diff, merge } from "./patch.ts";
import type { Rotation } from "./rotation.ts";
import type { RootScope } from "./scope.ts";
import type { SessionData, StoredRecord } from "./store.ts";
import type { Source, Transactions } from "./transaction.ts";

/** What came with a request, as far as it can be believed. */
export interface Came {
  readonly sid: string | undefined;
  readonly clientId: string | undefined;
  readonly sessionCookie: GenuineCookie | undefined;
  readonly clientCookie: GenuineCookie | undefined;
}

/** What a request knows of its session. */
export interface RequestState {
  readonly came: Came;
  clientId: string;
  /** The session's id. */
  sid: string | undefined;
  /** The id that koa-session takes it for: the two differ when somebody else regenerated it. */
  nativeSid: string | undefined;
  /** What was loaded, or stored last: the base of the next patch. */
  record: StoredRecord | undefined;
  /** Whether the session is over, by this request or by somebody else. */
  over: boolean;
  /** Set while koa-session gives the session a new id. */
  regenerating: string | undefined;
  /** How its id is changed, when it is. */
  rotation: Rotation;
}

/** Where a context keeps it. */
export const STATE: unique symbol = Symbol("koa-io-session");
/** Where sockets follow a session to its new id. */
export const FOLLOW: Rotation = { sockets: "follow", clientId: undefined };

/** A Koa context with what its request knows. */
export type Context = KoaContext & { [STATE]?: RequestState };

/** The id of `ctx.session`, once it is stored. */
export function sessionIdOf(ctx: Context): string | undefined {
  const state = ctx[STATE];
  if (!state?.record || state.over) return undefined;
  const { session } = ctx;
  return session && session.externalKey === state.sid ? state.sid : undefined;
}

/** koa-session's object keeps the id it was made with. */
export function rename(session: object | null, sid: string): void {
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
export function carry(
  ctx: Context,
  state: RequestState,
  transactions: Transactions,
): NonNullable<Source["carry"]> {
  let before = "";
  return {
    enter(scope: RootScope): void {
      before = JSON.stringify(ctx.session);
      const { held } = scope;
      const data = transactions.editor.carried(
        held.sid,
        state.record!,
        before,
        held.record,
      );
      if (data !== held.record.data) scope.session = JSON.parse(data);
    },
    leave(sid: string, record: StoredRecord | undefined): void {
      if (!record) {
        state.over = true;
        state.record = undefined;
        ctx.session = null;
        return;
      }
      state.sid = sid;
      state.record = record;
      const { session } = ctx;
      if (!session) return;
      const stored = JSON.parse(record.data) as SessionData;
      const now = JSON.stringify(session);
      // what the request changed beside the handler stays its own pending change
      const shown = now === before ? stored : merge(
        JSON.parse(before),
        diff(JSON.parse(before), JSON.parse(now)),
        stored,
        ({ mine }) => mine,
      ).data;
      show(session, shown);
      rename(session, sid);
    },
  };
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
