/**
 * Which sockets of a client may be in its session. They share the session, but
 * each has its own handshake, and the option `valid` may accept one and refuse
 * another. A refused socket is suspended: it does not follow its client.
 *
 * @module
 */
import type { SessionRegistry } from "../identity/registry.ts";
import type { SessionRecord } from "../api/store.ts";
import type { Socket } from "socket.io";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";

/** Admits and suspends sockets by the option `valid`. */
export class Admission {
  readonly #registry: SessionRegistry;
  readonly #valid: (socket: Socket, record: SessionRecord) => boolean;
  readonly #failed: (error: unknown) => void;
  /** By client id. */
  readonly #suspended = new Map<string, Set<BridgedSocket>>();

  /** @param valid applies the option of this name to a socket's handshake */
  constructor(
    registry: SessionRegistry,
    valid: (socket: Socket, record: SessionRecord) => boolean,
    failed: (error: unknown) => void,
  ) {
    this.#registry = registry;
    this.#valid = valid;
    this.#failed = failed;
  }

  /** A session begins for a client: each of its sockets follows the client, or is suspended. */
  admitAll(clientId: string, record: SessionRecord): void {
    for (const socket of this.#all(clientId)) {
      if (this.#accepts(socket, record)) this.#follow(clientId, socket);
      else this.suspend(socket);
    }
  }

  /** Suspends all sockets of a client. */
  suspendAll(clientId: string): readonly Socket[] {
    const all = this.#all(clientId);
    for (const socket of all) this.suspend(socket);
    return all;
  }

  suspend(socket: BridgedSocket): void {
    const state = socket[SOCKET_STATE];
    if (state?.clientId === undefined) return;
    const { client, clientId } = state;
    if (client) this.#registry.removeSocket(client, socket);
    state.client = state.session = undefined;
    const suspended = this.#suspended.get(clientId);
    if (suspended) suspended.add(socket);
    else this.#suspended.set(clientId, new Set([socket]));
  }

  /** @returns those that were suspended and follow their client now */
  resume(sockets: readonly BridgedSocket[], record: SessionRecord): Socket[] {
    return sockets.filter((socket) => {
      const clientId = socket[SOCKET_STATE]?.clientId;
      const isSuspended = clientId !== undefined &&
        this.#suspended.get(clientId)?.has(socket);
      if (!isSuspended || !this.#accepts(socket, record)) return false;
      this.#follow(clientId, socket);
      return true;
    });
  }

  /** A socket disconnected. */
  forget(socket: BridgedSocket): void {
    const clientId = socket[SOCKET_STATE]?.clientId;
    const suspended = clientId === undefined
      ? undefined
      : this.#suspended.get(clientId);
    suspended?.delete(socket);
    if (suspended?.size === 0) this.#suspended.delete(clientId!);
  }

  #all(clientId: string): BridgedSocket[] {
    return [
      ...this.#suspended.get(clientId) ?? [],
      ...this.#registry.client(clientId)?.sockets ?? [],
    ];
  }

  #follow(clientId: string, socket: BridgedSocket): void {
    const state = socket[SOCKET_STATE]!;
    if (state.client) return;
    this.forget(socket);
    state.client = this.#registry.addSocket(clientId, socket);
  }

  /** A `valid` that throws accepts no socket. */
  #accepts(socket: Socket, record: SessionRecord): boolean {
    try {
      return this.#valid(socket, record);
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }
}
