/**
 * Hooks into every namespace of a Socket.IO server: those that exist, and
 * those that are created later. None is a listener, which an application could
 * remove.
 *
 * @module
 */
import type { Namespace, Server, Socket } from "socket.io";
import { watchAdapter } from "./adapter.ts";
import { guardSends } from "./adapter_sends.ts";
import type { RecoveryGate } from "./recovery.ts";
import type { SessionRooms } from "./rooms.ts";
import type { SocketExtension } from "./socket_extension.ts";
import {
  beforeEvent,
  type Middleware,
  namespacesOf,
  onSocketGone,
  prependMiddleware,
} from "./socket_io.ts";

/** What is installed in each namespace. */
export interface Hooks {
  /** Runs before the middlewares of the application. */
  readonly handshake: Middleware;
  /** Runs before the `connection` listeners of the application. */
  readonly onConnect: (socket: Socket) => void;
  /** Runs once for each connected socket, before the `disconnect` listeners of the application. */
  readonly onGone: (socket: Socket) => void;
  /** Runs when the hooks are removed, for each socket that stays connected. */
  readonly release: (socket: Socket) => void;
  /** Makes a socket reconnect. */
  readonly reconnect: (socket: Socket) => void;
  readonly extension: SocketExtension;
  readonly rooms: SessionRooms;
  /** Guards each adapter of a namespace. */
  readonly recovery: RecoveryGate;
  /** Receives what adapters could not send. */
  failed(error: unknown): void;
}

/** Installs the hooks in all namespaces of a server, until it is closed. */
export class NamespaceHooks {
  readonly #io: Server;
  readonly #hooks: Hooks;
  /** How to remove the hooks; keeps no namespace in memory, as an application may remove namespaces. */
  readonly #removers = new WeakMap<Namespace, readonly (() => void)[]>();
  readonly #ignoreNamespaces: () => void;
  #closed = false;

  constructor(io: Server, hooks: Hooks) {
    this.#io = io;
    this.#hooks = hooks;
    for (const namespace of namespacesOf(io)) this.#install(namespace);
    this.#ignoreNamespaces = beforeEvent<Namespace>(
      io.of("/"),
      "new_namespace",
      (namespace) => this.#install(namespace),
    );
    const early = [...namespacesOf(io)]
      .flatMap(({ sockets }) => [...sockets.values()]);
    for (const socket of early) this.#makeGuest(socket);
    // the bridge is not complete yet
    queueMicrotask(() => early.forEach((socket) => this.#adopt(socket)));
  }

  close(): void {
    this.#closed = true;
    this.#ignoreNamespaces();
    for (const namespace of namespacesOf(this.#io)) {
      for (const remove of this.#removers.get(namespace) ?? []) remove();
      this.#removers.delete(namespace);
      for (const socket of namespace.sockets.values()) {
        this.#hooks.release(socket);
      }
    }
  }

  #install(namespace: Namespace): void {
    const { failed, handshake, onGone, recovery, rooms } = this.#hooks;
    this.#removers.set(
      namespace,
      [
        prependMiddleware(namespace, handshake),
        watchAdapter(namespace, (adapter) => {
          const removers = [
            guardSends(adapter, failed),
            rooms.attach(namespace, adapter),
            recovery.guard(namespace, adapter),
          ];
          return () => removers.forEach((remove) => remove());
        }),
        onSocketGone(namespace, (socket) => {
          onGone(socket);
          rooms.leave([socket]);
        }),
        beforeEvent<Socket>(namespace, "connect", (socket) => {
          this.#connected(socket);
        }),
      ].reverse(),
    );
  }

  #connected(socket: Socket): void {
    const { extension, onConnect } = this.#hooks;
    // its handshake began before there was this bridge
    const isEarly = !socket.recovered && !extension.extends(socket);
    if (!isEarly) return onConnect(socket);
    this.#makeGuest(socket);
    this.#adopt(socket);
  }

  #makeGuest(socket: Socket): void {
    this.#hooks.extension.extend(socket, undefined, undefined);
  }

  /**
   * Gives a session to a socket that was there before the bridge, by the
   * cookies of its handshake. Where that fails, its connection is closed, and
   * the client reconnects with its present cookies.
   */
  #adopt(socket: Socket): void {
    const { handshake, onConnect, reconnect } = this.#hooks;
    if (this.#closed || !socket.connected) return;
    handshake(socket, (error) => {
      if (this.#closed || !socket.connected) return;
      if (!error) return onConnect(socket);
      reconnect(socket);
    });
  }
}
