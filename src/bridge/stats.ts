/**
 * The counters of a bridge.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type { SessionRegistry } from "../identity/registry.ts";
import type { SessionLifecycle } from "../lifecycle/lifecycle.ts";
import type { Transactions } from "../transaction/transactions.ts";

/** Plain numbers about a bridge. */
export interface BridgeStats {
  /** Live sessions that this process has seen. */
  readonly sessions: number;
  /** Local sockets that follow a client. */
  readonly sockets: number;
  /** Transactions that ran. */
  readonly transactions: number;
  /** Transactions that had to wait. */
  readonly waits: number;
  /** Writes that changed a key which another write had changed. */
  readonly conflicts: number;
  /** Writes that must be undone, and wait for the store to confirm it. */
  readonly undos: number;
  /** Waits and holds that exceeded `lockTimeout`, and calls that exceeded `maxWaiting`. */
  readonly timeouts: number;
  /** Sessions that ended, by reason. */
  readonly ended: Readonly<Record<EndReason, number>>;
}

/** The current numbers. */
export function statsOf(
  { registry, lifecycle, transactions }: {
    readonly registry: SessionRegistry;
    readonly lifecycle: SessionLifecycle;
    readonly transactions: Transactions;
  },
): BridgeStats {
  const { count, records, counts } = transactions;
  return {
    sessions: registry.sessions,
    sockets: registry.sockets,
    transactions: count,
    waits: counts.waits,
    conflicts: records.conflicts,
    undos: transactions.undos,
    timeouts: counts.timeouts,
    ended: { ...lifecycle.events.endCounts },
  };
}
