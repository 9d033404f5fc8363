/**
 * What is known of a Socket.IO server and its adapters beyond their types.
 *
 * @module
 */
import { EventEmitter } from "node:events";
import type { Server } from "socket.io";

/** Whether any namespace has an adapter that reaches other processes. */
export function hasClusterAdapter(io: Server): boolean {
  return [...io._nsps.values()].some(({ adapter }) =>
    isClusterAdapter(adapter)
  );
}

/** Whether an adapter reaches other processes: those in memory leave two methods to the base class, which counts one server and warns. */
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

/** Whether Socket.IO's connection state recovery is on. */
export function hasConnectionRecovery(io: Server): boolean {
  const { opts } = io as unknown as {
    opts?: { connectionStateRecovery?: unknown };
  };
  return Boolean(opts?.connectionStateRecovery);
}
