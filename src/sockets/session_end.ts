/**
 * The option `onSessionEnd`: what happens to a socket when its session ends.
 *
 * @module
 */
import type { TrackedClient } from "../identity/registry.ts";
import type { EndReason } from "../api/events.ts";
import type { OnSessionEnd } from "../api/options.ts";
import { unref } from "../base/expiry_heap.ts";
import { sendSessionEnd } from "./client_events.ts";
import type { Socket } from "socket.io";

/** Reports the end of a session to its sockets, and disconnects them if the option says so. */
export class SessionEndPolicy {
  readonly #option: OnSessionEnd;
  /** Timers of `disconnectAfter`. */
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();

  /** @param option the option `onSessionEnd` */
  constructor(option: OnSessionEnd) {
    this.#option = option;
  }

  /** The session of a client ended: applies the option to one of its sockets. */
  apply(socket: Socket, client: TrackedClient, reason: EndReason): void {
    sendSessionEnd(socket, reason, this.#option);
    if (this.#option === "keep") return;
    // the end of a namespace, unlike that of a connection, cannot be recovered from
    if (this.#option === "disconnect") return void socket.disconnect();
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!client.session) socket.disconnect();
    }, this.#option.disconnectAfter);
    unref(timer);
    this.#timers.add(timer);
  }

  /** The session of a socket that is being recovered ended: there is no delay to wait for. */
  applyAtOnce(socket: Socket, reason: EndReason): void {
    sendSessionEnd(socket, reason, this.#option);
    if (this.#option !== "keep") socket.disconnect();
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
