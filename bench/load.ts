/** The process that generates the load, the same for all targets. */
import { serveCommands } from "./control.ts";
import { EngineSocket } from "./load/engine.ts";
import { CookieJar, HttpConnection, visit } from "./load/http.ts";
import {
  type Done,
  handshakeClients,
  httpClients,
  loginClients,
  pace,
  saturate,
  socketClients,
  told,
} from "./load/run.ts";
import { WINDOW } from "./plan.ts";
import { percentile } from "./statistics.ts";

/** Number of concurrent logins or connects. */
const AT_ONCE = 16;

/** The Cookie headers of the clients that have logged in, by the server's port. */
const cookiesOf = new Map<number, string[]>();

/** Open sockets, by the server's port. */
const socketsOf = new Map<number, EngineSocket[]>();

/** The kind of load: a path, an event, or handshakes. */
export interface Work {
  readonly port: number;
  /** Requests for this path. */
  readonly path?: string;
  /** Whether each answer brings new cookies, with which the client goes on. */
  readonly renews?: boolean;
  /** This event on the open sockets. */
  readonly event?: string;
  /** Maximum number of concurrent clients; default: all. */
  readonly clients?: number;
  /** Number of clients that send requests in turn; default: the concurrent ones. */
  readonly among?: number;
  /** Number of open events per socket. */
  readonly window?: number;
  readonly ms: number;
}

/** Latencies, in ms. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

function latencyOf(all: readonly number[]): Latency {
  return { p50: percentile(all, 50), p99: percentile(all, 99) };
}

function operations(work: Work) {
  const { port, path, event, clients, among, window } = work;
  const cookies = (cookiesOf.get(port) ?? []).slice(0, among ?? clients);
  if (path !== undefined && work.renews) {
    return loginClients(port, path, cookies);
  }
  if (path !== undefined) {
    return httpClients(port, path, cookies, clients ?? cookies.length);
  }
  const close = () => {};
  if (event === undefined) {
    return { clients: handshakeClients(port, cookies), close };
  }
  const sockets = (socketsOf.get(port) ?? []).slice(0, clients);
  return { clients: socketClients(sockets, event, window ?? 1), close };
}

async function each(
  count: number,
  act: (i: number, connection: HttpConnection) => Promise<void>,
  port: number,
): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    const connection = new HttpConnection(port);
    while (next < count) await act(next++, connection);
    connection.close();
  }));
}

const commands = {
  /** Begins sessions, and makes a second request in each, as a browser does. */
  async login(
    { port, count }: { port: number; count: number },
  ): Promise<void> {
    const cookies: string[] = [];
    await each(count, async (i, connection) => {
      const jar = new CookieJar();
      for (const path of ["/login", "/read"]) {
        await visit(connection, path, jar);
      }
      cookies[i] = String(jar);
    }, port);
    cookiesOf.set(port, cookies);
  },
  /** Opens sockets; `sessions` is the number of clients that they are distributed over. */
  async open(
    { port, count, sessions }: {
      port: number;
      count: number;
      sessions: number;
    },
  ): Promise<void> {
    const cookies = cookiesOf.get(port) ?? [];
    const sockets = socketsOf.get(port) ?? [];
    socketsOf.set(port, sockets);
    for (let i = 0; i < count; i += AT_ONCE) {
      const length = Math.min(AT_ONCE, count - i);
      const opening = Array.from(
        { length },
        (_, j) => EngineSocket.open(port, cookies[(i + j) % sessions] ?? ""),
      );
      sockets.push(...await Promise.all(opening));
    }
  },
  /** Closes all sockets to a server. */
  async shut({ port }: { port: number }): Promise<void> {
    const sockets = socketsOf.get(port) ?? [];
    socketsOf.delete(port);
    await Promise.all(sockets.map((socket) => socket.close()));
  },
  /** Load at the maximum rate of the server. */
  async saturate(work: Work): Promise<Done> {
    const { clients, close } = operations(work);
    const done = await saturate(clients, work.ms);
    close();
    return done;
  },
  /** Load at a constant number of operations per second. */
  async pace(work: Work & { rate: number }): Promise<Latency> {
    const { clients, close } = operations(work);
    const latencies = await pace(clients, work.rate, work.ms);
    close();
    return latencyOf(latencies);
  },
  /** Load at a constant rate by the last socket, while the first one keeps `flood` events open. */
  async beside(
    work: Work & { rate: number; flood: number },
  ): Promise<Latency> {
    const { port, event, rate, ms } = work;
    const sockets = socketsOf.get(port)!;
    const flood = saturate(
      socketClients([sockets[0]!], event!, work.flood),
      ms,
    );
    const clients = socketClients([sockets.at(-1)!], event!, WINDOW);
    const latencies = await pace(clients, rate, ms);
    await flood;
    return latencyOf(latencies);
  },
  /** Ends the session of the first client; the time until all open sockets know, in ms. */
  async end({ port }: { port: number }): Promise<number> {
    const [cookie] = cookiesOf.get(port)!;
    return await told(port, "/logout", cookie!, socketsOf.get(port)!);
  },
};

/** The commands of the load. */
export type LoadCommands = typeof commands;

await serveCommands(commands);
