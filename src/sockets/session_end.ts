/**
 * The option `onSessionEnd`: what happens to a socket when its session ends.
 *
 * @module
 */
import type { EndReason } from "../api/events.ts";
import type { OnSessionEnd } from "../api/options.ts";
import { unref } from "../base/expiry_heap.ts";
import { sendSessionEnd } from "./client_events.ts";
import type { Socket } from "socket.io";

/** Reports the end of a session to its sockets, and disconnects them if the option says so. */
export class SessionEndPolicy {
  readonly #option: OnSessionEnd;
  readonly #isMember: (socket: Socket) => boolean;
  readonly #failed: (error: unknown) => void;
  /** The timer of `disconnectAfter` for the latest end, by socket. */
  readonly #timers = new Map<Socket, ReturnType<typeof setTimeout>>();

  /**
   * @param option the option `onSessionEnd`
   * @param isMember whether a socket is in a session
   * @param failed receives what a socket's `disconnect` listeners throw
   */
  constructor(
    option: OnSessionEnd,
    isMember: (socket: Socket) => boolean,
    failed: (error: unknown) => void,
  ) {
    this.#option = option;
    this.#isMember = isMember;
    this.#failed = failed;
  }

  /** The session of a socket ended. */
  apply(socket: Socket, reason: EndReason): void {
    sendSessionEnd(socket, reason, this.#option);
    if (this.#option === "keep") return;
    // the end of a namespace, unlike that of a connection, cannot be recovered from
    if (this.#option === "disconnect") return this.#disconnect(socket);
    // an earlier end does not cut this one's grace short
    this.forget(socket);
    const timer = setTimeout(() => {
      this.#timers.delete(socket);
      if (!this.#isMember(socket)) this.#disconnect(socket);
    }, this.#option.disconnectAfter);
    unref(timer);
    this.#timers.set(socket, timer);
  }

  /** The session of a socket that is being recovered ended: there is no delay to wait for. */
  applyAtOnce(socket: Socket, reason: EndReason): void {
    sendSessionEnd(socket, reason, this.#option);
    if (this.#option !== "keep") this.#disconnect(socket);
  }

  /** A socket disconnected. */
  forget(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  /** The end of a session has further sockets, and must be reported: no listener may prevent that. */
  #disconnect(socket: Socket): void {
    try {
      socket.disconnect();
    } catch (error) {
      this.#failed(error);
    }
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
