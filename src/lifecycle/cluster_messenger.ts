/**
 * Messages between nodes, over the Socket.IO adapter in use. The store is the
 * truth: a message only says what to read again, it may be lost, and it
 * contains no id.
 *
 * @module
 */
import type { Server } from "socket.io";
import { END_REASONS, type EndReason } from "../api/events.ts";
import type { SocketRotation } from "../transaction/session_observer.ts";
import { isClusterAdapter } from "../sockets/adapter.ts";
import { BRIDGE_MESSAGE, handleRejection } from "../sockets/adapter_sends.ts";
import { onServerSideEvent } from "../sockets/socket_io.ts";

/** A change of a session, by the hash of its id. */
export type ClusterMessage =
  | { readonly type: "start"; readonly hash: string }
  | {
    readonly type: "end";
    readonly hash: string;
    readonly reason: EndReason;
    /** Whether the sockets of its client reconnect. */
    readonly reconnect: boolean;
  }
  | {
    readonly type: "rotate";
    readonly hash: string;
    readonly to: string;
    readonly sockets: SocketRotation;
  }
  /** Its user or its client changed. */
  | { readonly type: "change"; readonly hash: string }
  /** A request corrected the client cookie that came with its cookie. */
  | { readonly type: "correct"; readonly hash: string };

/** Receives messages of other nodes. */
export interface MessageReceiver {
  onMessage(message: ClusterMessage): Promise<void>;
}

const ROTATIONS: ReadonlySet<unknown> = new Set<SocketRotation>([
  "follow",
  "leave",
  "reconnect",
]);

/** Sends and receives the messages of the bridge. */
export class ClusterMessenger {
  readonly #io: Server;
  readonly #failed: (error: unknown) => void;
  readonly #unsubscribe: () => void;

  /**
   * @param receiver gets each well-formed message
   * @param failed receives errors of sending and of the receiver
   */
  constructor(
    io: Server,
    receiver: MessageReceiver,
    failed: (error: unknown) => void,
  ) {
    this.#io = io;
    this.#failed = failed;
    this.#unsubscribe = onServerSideEvent(io, BRIDGE_MESSAGE, (message) => {
      if (isMessage(message)) receiver.onMessage(message).catch(failed);
    });
  }

  /** Sends a message to the other nodes, if the adapter reaches any. */
  publish(message: ClusterMessage): void {
    const { adapter } = this.#io.of("/");
    // the in-memory adapters print a warning
    if (!isClusterAdapter(adapter)) return;
    try {
      // `io.serverSideEmit` drops what an adapter returns, often a promise
      const sent: unknown = adapter.serverSideEmit([BRIDGE_MESSAGE, message]);
      handleRejection(sent, this.#failed);
    } catch (error) {
      this.#failed(error);
    }
  }

  close(): void {
    this.#unsubscribe();
  }
}

/** Rejects messages of other versions of this package, and foreign ones. */
function isMessage(message: unknown): message is ClusterMessage {
  if (typeof message !== "object" || message === null) return false;
  const { type, hash, reason, to, sockets, reconnect } = message as Record<
    string,
    unknown
  >;
  if (typeof hash !== "string") return false;
  switch (type) {
    case "start":
    case "change":
    case "correct":
      return true;
    case "end":
      return END_REASONS.has(reason) && typeof reconnect === "boolean";
    case "rotate":
      return typeof to === "string" &&
        ROTATIONS.has(sockets);
    default:
      return false;
  }
}
