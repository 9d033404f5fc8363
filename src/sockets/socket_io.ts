/**
 * Everything that the bridge relies on in Socket.IO beyond its public types.
 * To be checked again at each release of Socket.IO, Engine.IO and their
 * adapters; last checked with socket.io 4.8.4 and socket.io-adapter 2.5.8.
 * What concerns Engine.IO is in `engine_io.ts`.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type { Namespace, Server, Socket } from "socket.io";

/** A middleware of a namespace: public as the argument of `use`, without a name. */
export type Middleware = (
  socket: Socket,
  next: (error?: Error) => void,
) => void;

/** What an adapter answers to `restoreSession`: the type `Session` of socket.io-adapter, in part. */
export interface RestoredSocket {
  readonly sid: string;
  readonly pid: string;
  readonly rooms: Iterable<unknown>;
}

type RestoreResult = Promise<RestoredSocket | null> | null;

/**
 * `restoreSession` is public since 4.6; the base class of adapters returns
 * `null`. `sessions` is private to the adapter in memory: a map by private id.
 */
interface RestoringAdapter {
  restoreSession(pid: string, offset: string): RestoreResult;
  readonly sessions?: { delete?(pid: string): unknown };
}

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
 * Intercepts `restoreSession` of the adapter that a namespace has, and of each
 * that it is given. `adapter` is a public, writable property: `io.adapter(…)`
 * assigns a new one to each namespace.
 *
 * @param onAdapter is called with each adapter before it is used
 * @param onRestore decides what is restored, given the adapter's own answer
 * @returns removes the interception
 */
export function interceptRestore(
  namespace: Namespace,
  onAdapter: (adapter: object) => void,
  onRestore: (answer: RestoreResult) => Promise<RestoredSocket | null>,
): () => void {
  const intercept = <A extends object>(adapter: A): A => {
    onAdapter(adapter);
    replaceRestore(adapter, onRestore);
    return adapter;
  };
  let adapter = intercept(namespace.adapter);
  Object.defineProperty(namespace, "adapter", {
    configurable: true,
    enumerable: true,
    get: () => adapter,
    set: (next) => adapter = intercept(next),
  });
  return () => {
    Reflect.deleteProperty(adapter, "restoreSession");
    Object.defineProperty(namespace, "adapter", {
      configurable: true,
      enumerable: true,
      writable: true,
      value: adapter,
    });
  };
}

function replaceRestore(
  adapter: object,
  onRestore: (answer: RestoreResult) => Promise<RestoredSocket | null>,
): void {
  const restoring = adapter as RestoringAdapter;
  const restore = restoring.restoreSession;
  if (typeof restore !== "function") return;
  Object.defineProperty(adapter, "restoreSession", {
    configurable: true,
    writable: true,
    value: (pid: string, offset: string) => {
      const answer = restore.call(adapter, pid, offset);
      // the adapter in memory keeps the entry: a second request with this id would be restored too
      restoring.sessions?.delete?.(pid);
      return onRestore(answer);
    },
  });
}

/**
 * `_anyListeners`, private to sockets since 3.0: the listeners of `onAny`, or
 * `undefined` before the first. The same as `socket.onAny`, with an array of
 * one: a push into an empty array allocates 17 slots.
 */
export function addAnyListener(socket: Socket, listener: () => void): void {
  const listening = socket as unknown as { _anyListeners?: unknown };
  listening._anyListeners ??= [listener];
  if (!socket.listenersAny().includes(listener)) socket.onAny(listener);
}

/** `handshake.auth`: public, and typed as an object; it is what the client sent, `null` too. */
export function authOf({ handshake }: Socket, key: string): unknown {
  const auth = handshake.auth as Record<string, unknown> | null | undefined;
  return auth?.[key];
}

/**
 * Listens to an event that other nodes send by `serverSideEmit`, public since
 * 4.1. The types of `Server` admit only events that its user declared.
 *
 * @returns removes the listener
 */
export function onServerSideEvent(
  io: Server,
  event: string,
  listener: (message: unknown) => void,
): () => void {
  io.on(event as never, listener as never);
  return () => void io.off(event as never, listener as never);
}

/** Whether any namespace has an adapter that reaches other processes. */
export function hasClusterAdapter(io: Server): boolean {
  return [...namespacesOf(io)].some(({ adapter }) => isClusterAdapter(adapter));
}

/**
 * Whether an adapter reaches other processes. Those in memory inherit
 * `serverSideEmit` (since 4.1) and `serverCount` (since 4.5) from the base
 * class of adapters, which warns and counts one server; all others override
 * at least one of the two.
 */
export function isClusterAdapter(adapter: object): boolean {
  let base = adapter;
  for (
    let next = Object.getPrototypeOf(adapter);
    next && next !== EventEmitter.prototype && next !== Object.prototype;
    next = Object.getPrototypeOf(next)
  ) base = next;
  return ["serverCount", "serverSideEmit"].some((method) =>
    Reflect.get(adapter, method) !== Reflect.get(base, method)
  );
}
