/**
 * Hooks into every namespace of a Socket.IO server: those that exist, and
 * those that are created later.
 *
 * @module
 */
import type { Namespace, Server, Socket } from "socket.io";
import type { RecoveryGate } from "./recovery.ts";
import {
  type Middleware,
  namespacesOf,
  prependMiddleware,
} from "./socket_io.ts";

/** What is installed in each namespace. */
export interface Hooks {
  /** Runs before the middlewares of the application. */
  readonly handshake: Middleware;
  /** Runs before the `connection` listeners of the application. */
  readonly onConnect: (socket: Socket) => void;
  /** Is called with each adapter of a namespace. */
  readonly onAdapter: (adapter: object) => void;
  /** Guards each adapter of a namespace. */
  readonly recovery: RecoveryGate;
}

/** Installs the hooks in all namespaces of a server, until it is closed. */
export class NamespaceHooks {
  readonly #io: Server;
  readonly #hooks: Hooks;
  /** How to remove the hooks; keeps no namespace in memory, as an application may remove namespaces. */
  readonly #removers = new WeakMap<Namespace, () => void>();
  readonly #install = (namespace: Namespace): void => {
    this.#removers.set(namespace, install(namespace, this.#hooks));
  };

  constructor(io: Server, hooks: Hooks) {
    this.#io = io;
    this.#hooks = hooks;
    for (const namespace of namespacesOf(io)) this.#install(namespace);
    io.on("new_namespace", this.#install);
  }

  close(): void {
    this.#io.off("new_namespace", this.#install);
    for (const namespace of namespacesOf(this.#io)) {
      this.#removers.get(namespace)?.();
      this.#removers.delete(namespace);
    }
  }
}

function install(namespace: Namespace, hooks: Hooks): () => void {
  const { handshake, onConnect, onAdapter, recovery } = hooks;
  const removeMiddleware = prependMiddleware(namespace, handshake);
  namespace.prependListener("connect", onConnect);
  const removeGuard = recovery.guard(namespace, onAdapter);
  return () => {
    removeMiddleware();
    namespace.off("connect", onConnect);
    removeGuard();
  };
}
