/**
 * Events of a client that are answered in a transaction on its session: no
 * packet, and no state of session and store, makes a rejection that nothing
 * handles.
 *
 * @module
 */
import type { Socket } from "socket.io";
import {
  BaseSessionError,
  SessionEndedError,
  SessionMissingError,
} from "../api/errors.ts";
import type { SocketFailure } from "../api/session_socket.ts";
import { refuse } from "../base/arguments.ts";
import { type SessionCall, sessionCall } from "../transaction/session_call.ts";

/** The code for errors of the application. */
const INTERNAL = "INTERNAL";

type Acknowledge = (...result: unknown[]) => void;

/** Listens for events on behalf of handlers. */
export class SessionEvents {
  readonly #run: (socket: Socket, call: SessionCall) => Promise<unknown>;
  readonly #report: (error: unknown) => boolean;

  /**
   * @param run runs a transaction on the session of a socket
   * @param report receives errors of handlers and of the store; returns whether anybody listens
   */
  constructor(
    run: (socket: Socket, call: SessionCall) => Promise<unknown>,
    report: (error: unknown) => boolean,
  ) {
    this.#run = run;
    this.#report = report;
  }

  /**
   * Adds a listener to a socket.
   *
   * @param args `event`, `handler` and `onMissing`
   * @throws {TypeError} when the event is no name, or the handler no function
   */
  listen(socket: Socket, args: readonly unknown[]): void {
    const [event, handler, ...onMissing] = args;
    const action = "listen for an event";
    if (typeof event !== "string" && typeof event !== "symbol") {
      refuse(action, "event", "a string or a symbol", event);
    }
    if (typeof handler !== "function") {
      refuse(action, "handler", "a function", handler);
    }
    // no call could catch it: the client is told its code, as without it
    const decisions = onMissing[0] instanceof Error
      ? []
      : onMissing.slice(0, 1);
    socket.on(event as string, (...received: unknown[]) => {
      const acknowledge = typeof received.at(-1) === "function"
        ? received.pop() as Acknowledge
        : undefined;
      const act = (view: unknown) => handler(view, ...received);
      const call = sessionCall([act, ...decisions]);
      this.#answer(this.#run(socket, call), acknowledge);
    });
  }

  async #answer(
    running: Promise<unknown>,
    acknowledge: Acknowledge | undefined,
  ): Promise<void> {
    try {
      const result = await running;
      if (result === undefined) acknowledge?.();
      else acknowledge?.(result);
    } catch (error) {
      // a guest, and a logout while a handler runs, are ordinary
      if (!isOrdinary(error)) this.#tell(error);
      this.#refuse(error, acknowledge);
    }
  }

  #refuse(error: unknown, acknowledge: Acknowledge | undefined): void {
    try {
      const failure: SocketFailure = { error: codeOf(error) };
      acknowledge?.(failure);
    } catch (failure) {
      this.#tell(failure);
    }
  }

  /** Reports an error, and prints it where nobody listens, as Koa does: no caller sees it. */
  #tell(error: unknown): void {
    if (this.#report(error)) return;
    // the cause of an own error may quote ids
    console.error(
      error instanceof BaseSessionError
        ? `[koa-io-session] ${error.name}: ${error.message}`
        : error,
    );
  }
}

function isOrdinary(error: unknown): boolean {
  return error instanceof SessionMissingError ||
    error instanceof SessionEndedError;
}

/** The code of the package's own errors. Those of the application may say anything. */
function codeOf(error: unknown): SocketFailure["error"] {
  return error instanceof BaseSessionError ? error.code : INTERNAL;
}
