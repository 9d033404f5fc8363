/**
/**
 * Everything that the bridge relies on in Socket.IO beyond its public types;
 * `adapter.ts` has the same for adapters, `engine_io.ts` for Engine.IO. To be
 * checked again at each release of Socket.IO; last checked with socket.io
 * 4.8.4.
 *
 * @module
 */
import type { Namespace, Server, Socket } from "socket.io";
import { override } from "../base/override.ts";
import { hasOwn } from "../base/own_keys.ts";
import { isClusterAdapter } from "./adapter.ts";

/** A middleware of a namespace: public as the argument of `use`, without a name. */
export type Middleware = (
  socket: Socket,
  next: (error?: Error) => void,
) => void;

/** `_nsps`, marked private since 3.0: a map of the namespaces by name. */
export function isSocketServer(value: unknown): value is Server {
  const server = value as Server | undefined | null;
  return typeof server?.of === "function" && server._nsps instanceof Map;
}

/** `_nsps` again: the namespaces there are; `new_namespace`, public since 4.1, reports further ones. */
export function namespacesOf(io: Server): Iterable<Namespace> {
  return io._nsps.values();
}

/** `opts.connectionStateRecovery`, private since 4.6: set where connection state recovery is on. */
export function hasConnectionRecovery(io: Server): boolean {
  const { opts } = io as unknown as {
    opts?: { connectionStateRecovery?: unknown };
  };
  return Boolean(opts?.connectionStateRecovery);
}

/** `httpServer`: public, and typed as always there; `undefined` until `attach` or `listen`. */
export function httpServerOf(io: Server): unknown {
  return (io as { httpServer?: unknown }).httpServer;
}

/**
 * `_fns`, private to namespaces since 3.0: the middlewares in order, copied at
 * each connection. `use` only appends, and a dynamic namespace starts with
 * those of its parent.
 *
 * @returns removes the middleware
 */
export function prependMiddleware(
  namespace: Namespace,
  middleware: Middleware,
): () => void {
  const { _fns } = namespace as unknown as { readonly _fns: Middleware[] };
  _fns.unshift(middleware);
  return () => {
    const at = _fns.indexOf(middleware);
    if (at >= 0) _fns.splice(at, 1);
  };
}

/**
 * `emitReserved`, protected since 4.0: a namespace calls it on itself for
 * `connect`, once a socket is connected, and the default namespace for
 * `new_namespace`. A listener of the event could be removed, and would have to
 * be the first.
 *
 * @param listener is called before the listeners of the event
 * @returns removes it
 */
export function beforeEvent<T>(
  namespace: Namespace,
  event: "connect" | "new_namespace",
  listener: (argument: T) => void,
): () => void {
  return override(
    namespace,
    "emitReserved",
    (emit: (...args: unknown[]) => unknown) => (...args) => {
      if (args[0] === event) listener(args[1] as T);
      return emit(...args);
    },
  );
}

/**
 * `sockets`, a public Map of the connected sockets of a namespace: a socket is
 * deleted from it once, when it disconnects, before the listeners of
 * `disconnect` and after its state was persisted for recovery.
 *
 * @returns removes the listener
 */
export function onSocketGone(
  { sockets }: Namespace,
  listener: (socket: Socket) => void,
): () => void {
  return override(
    sockets,
    "delete",
    (remove: (id: string) => boolean) => (id) => {
      const socket = sockets.get(id);
      const removed = remove(id);
      if (socket) listener(socket);
      return removed;
    },
  );
}

/** `onevent`, private to sockets since 1.0: a socket calls it on itself with each event that it receives. */
interface Receiving {
  onevent(packet: unknown): unknown;
}

/** A hook that runs at each event that a socket receives. */
export interface EventHook {
  add(socket: Socket): void;
  remove(socket: Socket): void;
}

/**
 * Makes a hook of sockets. Its function is shared by all of them: a closure for
 * each would be kept as long as the socket.
 */
export function eventHook(listener: (socket: Socket) => void): EventHook {
  const shared = function (this: Socket & Receiving, packet: unknown) {
    listener(this);
    return Object.getPrototypeOf(this).onevent.call(this, packet);
  };
  const set = (socket: Socket, value: unknown) =>
    Object.defineProperty(socket, "onevent", {
      configurable: true,
      writable: true,
      value,
    });
  return {
    add(socket) {
      const { onevent } = socket as unknown as Receiving;
      if (onevent === shared) return;
      if (!hasOwn(socket, "onevent")) set(socket, shared);
      // a middleware of the application has replaced it
      else {
        set(socket, (packet: unknown) => {
          listener(socket);
          return onevent.call(socket, packet);
        });
      }
    },
    remove(socket) {
      const { onevent } = socket as unknown as Receiving;
      if (onevent === shared) Reflect.deleteProperty(socket, "onevent");
    },
  };
}

/** `handshake.auth`: public, and typed as an object; it is what the client sent, `null` too. */
export function authOf({ handshake }: Socket, key: string): unknown {
  const auth = handshake.auth as Record<string, unknown> | null | undefined;
  return auth?.[key];
}

/**
 * Receives an event that other nodes send by `serverSideEmit`, public since
 * 4.1. Adapters hand it to `_onServerSideEmit`, private to namespaces since
 * 4.1, which emits it; a listener could be removed.
 *
 * @returns stops it
 */
export function onServerSideEvent(
  io: Server,
  event: string,
  listener: (message: unknown) => void,
): () => void {
  return override(
    io.of("/"),
    "_onServerSideEmit",
    (emit: (args: unknown[]) => unknown) => (args) =>
      args[0] === event ? listener(args[1]) : emit(args),
  );
}

/** Whether any namespace has an adapter that reaches other processes. */
export function hasClusterAdapter(io: Server): boolean {
  return [...namespacesOf(io)].some(({ adapter }) => isClusterAdapter(adapter));
}

/**
 * `conn.close`, public: ends the connection of a socket at the transport, with
 * the sockets of its other namespaces. A client reconnects afterwards, which it
 * does not after `socket.disconnect()`.
 */
export function closeTransport({ conn }: Socket): void {
  conn.close();
}

/** A polling transport that closes with its client's next request, or after 30 s. */
interface ClosingTransport {
  shouldClose?: (() => void) | null;
}

/**
 * `conn.close(true)`: ends a connection without waiting for its client to take
 * what was sent. Where a close waits for the next request of a polling client,
 * `transport.shouldClose` of engine.io 6 ends that wait, which goes on for 30 s
 * even if the connection has been closed otherwise, or upgraded.
 *
 * @returns does it, for the transport that the connection has now too
 */
export function discarding({ conn }: Socket): () => void {
  const transportNow = () => conn.transport as ClosingTransport;
  const present = transportNow();
  return () => {
    if (conn.readyState !== "closed") conn.close(true);
    for (const transport of new Set([present, transportNow()])) {
      endWait(transport);
    }
  };
}

function endWait(transport: ClosingTransport): void {
  const close = transport.shouldClose;
  transport.shouldClose = null;
  close?.();
}

/** `handshake.issued`, public: when a socket's handshake was made, ms since the epoch. */
export function handshakeTime({ handshake }: Socket): number {
  return handshake.issued;
}
