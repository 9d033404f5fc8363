/** Load on a server: at its maximum rate, or at a constant rate. */
import type { Buffer } from "node:buffer";
import { type EngineSocket, events } from "./engine.ts";
import { EngineSocket as Socket } from "./engine.ts";
import { CookieJar, HttpConnection, request, statusOf, visit } from "./http.ts";

/** The number of operations, and their time in ms. */
export interface Done {
  readonly operations: number;
  readonly ms: number;
}

/** One operation of one client; calls back after the response. */
export type Operation = (done: () => void) => void;

/** Keeps every client busy for `ms`, then waits for the open operations. */
export function saturate(
  clients: readonly Operation[],
  ms: number,
): Promise<Done> {
  return new Promise((resolve) => {
    let operations = 0;
    let busy = clients.length;
    const since = performance.now();
    const end = since + ms;
    for (const operate of clients) {
      const next = () => {
        operations++;
        again();
      };
      const again = () => {
        const now = performance.now();
        if (now < end) return operate(next);
        if (--busy === 0) resolve({ operations, ms: now - since });
      };
      operate(next);
    }
  });
}

/**
 * Starts an operation every `1000 / rate` ms, independent of earlier responses,
 * and measures each from its scheduled start.
 *
 * @returns latencies in ms
 */
export function pace(
  clients: readonly Operation[],
  rate: number,
  ms: number,
): Promise<number[]> {
  return new Promise((resolve) => {
    const free = [...clients];
    const overdue: number[] = [];
    const latencies: number[] = [];
    const total = Math.floor(rate * ms / 1000);
    const since = performance.now();
    let started = 0;
    const operate = (operation: Operation, due: number) => {
      operation(() => {
        latencies.push(performance.now() - due);
        const late = overdue.shift();
        if (late !== undefined) operate(operation, late);
        else free.push(operation);
        if (latencies.length === total) resolve(latencies);
      });
    };
    const tick = () => {
      const now = performance.now();
      for (; started < total; started++) {
        const due = since + started * 1000 / rate;
        if (due > now) break;
        const operation = free.shift();
        if (operation) operate(operation, due);
        else overdue.push(due);
      }
      if (started < total) setImmediate(tick);
    };
    tick();
  });
}

/** Requests for `path`: the cookies are distributed over the connections, and each connection uses its share in turn. */
export function httpClients(
  port: number,
  path: string,
  cookies: readonly string[],
  count: number,
): { clients: Operation[]; close(): void } {
  const connections = Array.from(
    { length: count },
    () => new HttpConnection(port),
  );
  const clients = connections.map((connection, i): Operation => {
    const requests = cookies
      .filter((_, j) => j % count === i)
      .map((cookie) => request(path, cookie));
    let next = 0;
    return (done) =>
      connection.send(requests[next++ % requests.length]!, (head) => {
        if (statusOf(head) !== 200) throw new Error(head);
        done();
      });
  });
  const close = () => connections.forEach((connection) => connection.close());
  return { clients, close };
}

/** Logins, each of another user: each client goes on with the cookies that it was given. */
export function loginClients(
  port: number,
  path: string,
  cookies: readonly string[],
): { clients: Operation[]; close(): void } {
  const connections = cookies.map(() => new HttpConnection(port));
  const clients = connections.map((connection, i): Operation => {
    const jar = new CookieJar(cookies[i]);
    return async (done) => {
      await visit(connection, path, jar);
      done();
    };
  });
  const close = () => connections.forEach((connection) => connection.close());
  return { clients, close };
}

/**
 * Requests `path` once, with the cookies of a client.
 *
 * @returns how long it took until each of the sockets had an event, in ms
 */
export async function told(
  port: number,
  path: string,
  cookie: string,
  sockets: readonly EngineSocket[],
): Promise<number> {
  const heard = sockets.map((socket) =>
    new Promise<void>((resolve) => socket.emitted = resolve)
  );
  const connection = new HttpConnection(port);
  const since = performance.now();
  await connection.get(path, cookie);
  await Promise.all(heard);
  connection.close();
  return performance.now() - since;
}

/** Events of open sockets, `window` open events on each. */
export function socketClients(
  sockets: readonly EngineSocket[],
  event: string,
  window: number,
): Operation[] {
  const frames: readonly Buffer[] = events(event, window);
  return sockets.flatMap((socket) => {
    const waiting: (() => void)[] = [];
    socket.acknowledged = (id) => waiting[id]!();
    return frames.map((bytes, id): Operation => (done) => {
      waiting[id] = done;
      socket.send(bytes);
    });
  });
}

/** Handshakes: a socket is opened and closed. */
export function handshakeClients(
  port: number,
  cookies: readonly string[],
): Operation[] {
  return cookies.map((cookie): Operation => async (done) => {
    const socket = await Socket.open(port, cookie);
    await socket.close();
    done();
  });
}
