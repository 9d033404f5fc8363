/**
 * The counters of a bridge.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type { SessionRegistry } from "../identity/registry.ts";
import type { SessionLifecycle } from "../lifecycle/lifecycle.ts";
import { MAX_CLIENTS } from "../sockets/reconnects.ts";
import { MAX_ADMITTED } from "../sockets/recovery.ts";
import { MAX_TOMBSTONES } from "../transaction/tombstones.ts";
import type { Transactions } from "../transaction/transactions.ts";
import { MAX_PENDING } from "../transaction/undo.ts";

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
  /** The limits of what the bridge keeps beside sessions and sockets. */
  readonly limits: BridgeLimits;
}

/** How much a bridge keeps at most. */
export interface BridgeLimits {
  /** Calls that wait for one session, or for the logins of one user: the option `maxWaiting`. */
  readonly waiting: number;
  /** Writes that must be undone; those beyond it stay until they expire. */
  readonly undos: number;
  /** Ids of sessions that ended within the last minute; the oldest is dropped. */
  readonly tombstones: number;
  /** Clients whose guests were made to reconnect within ten minutes; the oldest is dropped. */
  readonly reconnects: number;
  /** Sockets that were recovered and are about to connect; the oldest is dropped. */
  readonly recoveries: number;
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
    limits: {
      waiting: transactions.maxWaiting,
      undos: MAX_PENDING,
      tombstones: MAX_TOMBSTONES,
      reconnects: MAX_CLIENTS,
      recoveries: MAX_ADMITTED,
    },
  };
}
