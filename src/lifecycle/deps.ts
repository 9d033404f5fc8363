/**
 * What the files of the lifecycle room share.
 *
 * @module
 */
import type { SessionRegistry } from "../identity/registry.ts";
import type { SocketSessions } from "../sockets/sockets.ts";
import type { ViewPublisher } from "../sockets/view_publisher.ts";
import type { UserFacts } from "./user_facts.ts";
import type { Occasion } from "../transaction/session_observer.ts";
import type { Transactions } from "../transaction/transactions.ts";

/** Collaborators of the lifecycle; they are constructed after it. */
export interface LifecycleDeps {
  readonly transactions: Transactions;
  readonly registry: SessionRegistry;
  readonly sockets: SocketSessions;
  /** Present with the options `view` and `expiringNotice`. */
  readonly views: ViewPublisher | undefined;
  /** Whether other processes use the store. */
  readonly shared: boolean;
  /** Receives what `bridge.doctor()` reports about users. */
  readonly userFacts: UserFacts;
}

/** The occasion of what happened on another node. */
export interface NodeOccasion extends Occasion {
  readonly remote?: boolean;
  /** Whether the sockets of a session that ended reconnect. */
  readonly reconnect?: boolean;
}
