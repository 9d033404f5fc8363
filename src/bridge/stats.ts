/**
 * What the parts of a bridge have counted.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type {
  LifecycleDeps,
  SessionLifecycle,
} from "../lifecycle/lifecycle.ts";

/** Plain numbers about a bridge. */
export interface BridgeStats {
  /** Live sessions that this process has met. */
  readonly sessions: number;
  /** Local sockets that follow a client. */
  readonly sockets: number;
  /** Transactions that ran. */
  readonly transactions: number;
  /** How many of them had to wait. */
  readonly waits: number;
  /** Writes that met another's change of the same key. */
  readonly conflicts: number;
  /** Waits and holds that went past `lockTimeout`. */
  readonly timeouts: number;
  /** Sessions that ended, by reason. */
  readonly ended: Readonly<Record<EndReason, number>>;
}

/** The numbers as they are now. */
export function statsOf(
  { clients, lifecycle, transactions }:
    & Pick<LifecycleDeps, "clients" | "transactions">
    & { readonly lifecycle: SessionLifecycle },
): BridgeStats {
  const { count, editor, door } = transactions;
  return {
    sessions: clients.sessions,
    sockets: clients.sockets,
    transactions: count,
    waits: door.waits,
    conflicts: editor.conflicts,
    timeouts: door.timeouts,
    ended: { ...lifecycle.endCounts },
  };
}
