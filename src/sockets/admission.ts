/**
 * Which sockets of a client may be in its session. They share the session, but
 * each has its own handshake, and the option `valid` may accept one and refuse
 * another. A refused socket is a guest: it follows its client, and each session
 * that the client begins is checked for it again.
 *
 * @module
 */
import type { SessionRecord } from "../api/store.ts";
import type { Socket } from "socket.io";

/** Admits sockets by the option `valid`. */
export class Admission {
  readonly #valid: (socket: Socket, record: SessionRecord) => boolean;
  readonly #failed: (error: unknown) => void;

  /** @param valid applies the option of this name to a socket's handshake */
  constructor(
    valid: (socket: Socket, record: SessionRecord) => boolean,
    failed: (error: unknown) => void,
  ) {
    this.#valid = valid;
    this.#failed = failed;
  }

  /** Whether a socket may enter the session; a `valid` that throws accepts none. */
  accepts(socket: Socket, record: SessionRecord): boolean {
    try {
      return this.#valid(socket, record);
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }
}
