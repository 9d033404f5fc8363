/**
 * What nodes tell each other, over whatever Socket.IO adapter the user has.
 * The store is the truth, the adapter is the messenger: a message says "go and
 * look", it may be lost, and no id travels in it.
 *
 * @module
 */
import type { Server } from "socket.io";
import { END_REASONS, type EndReason } from "../api/events.ts";
import { isClusterAdapter, onServerSideEvent } from "../sockets/socket_io.ts";

/** What happened to a session, by the hash of its id. */
export type ClusterMessage =
  | { readonly type: "start"; readonly hash: string }
  | { readonly type: "end"; readonly hash: string; readonly reason: EndReason }
  | {
    readonly type: "rotate";
    readonly hash: string;
    readonly to: string;
    readonly sockets: "follow" | "leave";
  }
  /** It belongs to somebody else, or is bound to another client. */
  | { readonly type: "change"; readonly hash: string };

const EVENT = "koa-io-session";

/** The messenger. */
export class ClusterMessenger {
  readonly #io: Server;
  readonly #failed: (error: unknown) => void;
  readonly #unsubscribe: () => void;

  /**
   * @param receive is called with each message that makes sense
   * @param failed is told when a message could not be sent, or looked into
   */
  constructor(
    io: Server,
    receive: (message: ClusterMessage) => Promise<void>,
    failed: (error: unknown) => void,
  ) {
    this.#io = io;
    this.#failed = failed;
    this.#unsubscribe = onServerSideEvent(io, EVENT, (message) => {
      if (isMessage(message)) receive(message).catch(failed);
    });
  }

  /** Tells the other nodes, if there can be any. */
  publish(message: ClusterMessage): void {
    // the adapters in memory warn of a message that reaches nobody
    if (!isClusterAdapter(this.#io.of("/").adapter)) return;
    try {
      this.#io.serverSideEmit(EVENT, message);
    } catch (error) {
      this.#failed(error);
    }
  }

  close(): void {
    this.#unsubscribe();
  }
}

/** A message of another version of this package, or of somebody else, is nothing to act on. */
function isMessage(message: unknown): message is ClusterMessage {
  if (typeof message !== "object" || message === null) return false;
  const { type, hash, reason, to, sockets } = message as Record<
    string,
    unknown
  >;
  if (typeof hash !== "string") return false;
  switch (type) {
    case "start":
    case "change":
      return true;
    case "end":
      return END_REASONS.has(reason);
    case "rotate":
      return typeof to === "string" &&
        (sockets === "follow" || sockets === "leave");
    default:
      return false;
  }
}
