/**
 * Activity of sockets: an event of the application prolongs the session as a
 * request does, a ping of Socket.IO does not.
 *
 * @module
 */
import type { Transactions } from "../transaction/transactions.ts";
import type { Socket } from "socket.io";
import {
  type BridgedSocket,
  SOCKET_STATE,
  type SocketExtension,
} from "./socket_extension.ts";
import { type EventHook, eventHook } from "./socket_io.ts";

/** What the activity monitor needs. */
export interface ActivityDeps {
  readonly transactions: Transactions;
  readonly extension: SocketExtension;
  /** The option of this name: ms, or `false` for no monitoring. */
  readonly touchInterval: number | false;
  failed(error: unknown): void;
}

/** Touches the session of a client at the events of its sockets, at most once per `touchInterval`. */
export class ActivityMonitor {
  readonly #deps: ActivityDeps;
  readonly #hook: EventHook;
  #closed = false;

  constructor(deps: ActivityDeps) {
    this.#deps = deps;
    this.#hook = eventHook((socket) => this.#touch(socket));
  }

  /** Monitors a socket from now on. */
  watch(socket: Socket): void {
    if (this.#deps.touchInterval !== false) this.#hook.add(socket);
  }

  /** Stops monitoring a socket. */
  release(socket: Socket): void {
    this.#hook.remove(socket);
  }

  /** Ends all monitoring. */
  close(): void {
    this.#closed = true;
  }

  #touch(socket: BridgedSocket): void {
    const { touchInterval, transactions, extension, failed } = this.#deps;
    const client = socket[SOCKET_STATE]?.client;
    if (this.#closed) return;
    const now = Date.now();
    if (!client || now - client.touched < (touchInterval as number)) return;
    client.touched = now;
    const session = extension.sessionOf(socket);
    if (!session) return;
    transactions.lookup.touch(
      session.sid,
      session.maxAge,
      extension.contextIfNeeded(socket),
    )
      .catch(failed);
  }
}
