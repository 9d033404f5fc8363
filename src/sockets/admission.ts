/**
 * Who of a client's sockets may be in its session. They share it, yet each
 * came with a handshake of its own, and the option `valid` may turn one down
 * that it lets another pass. Such a socket is put aside: it follows no client.
 *
 * @module
 */
import type { SessionRegistry } from "../identity/registry.ts";
import type { SessionRecord } from "../api/store.ts";
import type { Socket } from "socket.io";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";

/** See the module's text. */
export class Admission {
  readonly #clients: SessionRegistry<Socket>;
  readonly #valid: (socket: Socket, record: SessionRecord) => boolean;
  readonly #failed: (error: unknown) => void;
  /** By client id. */
  readonly #aside = new Map<string, Set<BridgedSocket>>();

  /** @param valid asks the option of this name about a socket's handshake */
  constructor(
    clients: SessionRegistry<Socket>,
    valid: (socket: Socket, record: SessionRecord) => boolean,
    failed: (error: unknown) => void,
  ) {
    this.#clients = clients;
    this.#valid = valid;
    this.#failed = failed;
  }

  /** A session begins for a client: each of its sockets follows it, or is put aside. */
  admitAll(clientId: string, record: SessionRecord): void {
    for (const socket of this.#all(clientId)) {
      if (this.#lets(socket, record)) this.#follow(clientId, socket);
      else this.suspend(socket);
    }
  }

  /** Puts all sockets of a client aside. */
  suspendAll(clientId: string): readonly Socket[] {
    const all = this.#all(clientId);
    for (const socket of all) this.suspend(socket);
    return all;
  }

  suspend(socket: BridgedSocket): void {
    const following = socket[SOCKET_STATE];
    if (following?.clientId === undefined) return;
    const { client, clientId } = following;
    if (client) this.#clients.removeSocket(client, socket);
    following.client = following.known = undefined;
    const aside = this.#aside.get(clientId);
    if (aside) aside.add(socket);
    else this.#aside.set(clientId, new Set([socket]));
  }

  /** @returns those who were aside and follow their client now */
  resume(sockets: readonly BridgedSocket[], record: SessionRecord): Socket[] {
    return sockets.filter((socket) => {
      const clientId = socket[SOCKET_STATE]?.clientId;
      const isAside = clientId !== undefined &&
        this.#aside.get(clientId)?.has(socket);
      if (!isAside || !this.#lets(socket, record)) return false;
      this.#follow(clientId, socket);
      return true;
    });
  }

  /** A socket is gone. */
  forget(socket: BridgedSocket): void {
    const clientId = socket[SOCKET_STATE]?.clientId;
    const aside = clientId === undefined
      ? undefined
      : this.#aside.get(clientId);
    aside?.delete(socket);
    if (aside?.size === 0) this.#aside.delete(clientId!);
  }

  #all(clientId: string): BridgedSocket[] {
    return [
      ...this.#aside.get(clientId) ?? [],
      ...this.#clients.client(clientId)?.sockets ?? [],
    ];
  }

  #follow(clientId: string, socket: BridgedSocket): void {
    const following = socket[SOCKET_STATE]!;
    if (following.client) return;
    this.forget(socket);
    following.client = this.#clients.addSocket(clientId, socket);
  }

  /** A `valid` that fails lets nobody in. */
  #lets(socket: Socket, record: SessionRecord): boolean {
    try {
      return this.#valid(socket, record);
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }
}
