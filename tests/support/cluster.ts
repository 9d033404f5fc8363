/**
 * Several nodes in one process: each a whole server with a store and a
 * messenger on clients of its own, all on one Redis.
 */
import { RedisStore } from "@koa-io/session/redis";
import { createAdapter as createRedis } from "@socket.io/redis-adapter";
import { createAdapter as createStreams } from "@socket.io/redis-streams-adapter";
import { randomUUID } from "node:crypto";
import { createClient } from "redis";
import type { Namespace, ServerOptions } from "socket.io";
import {
  type Browser,
  type Parts,
  routesAndEvents,
  type Stand,
  startServer,
  type TestOptions,
  type TestSession,
  until,
} from "./harness.ts";

/** The adapters that carry messages between the nodes. */
export const MESSENGERS = ["redis", "redis-streams"] as const;

/** One of {@linkcode MESSENGERS}. */
export type Messenger = typeof MESSENGERS[number];

/** How the nodes of a test differ from plain ones. */
export interface NodesConfig {
  /** @default {"redis"} */
  readonly messenger?: Messenger;
  /** @default {2} */
  readonly count?: number;
  /** Of each bridge. */
  readonly options?: TestOptions;
  /** Of each Socket.IO server. */
  readonly io?: Partial<ServerOptions>;
  /** Whether what a node tells the others gets lost. What is emitted to rooms does not. */
  readonly deaf?: boolean;
}

/** An event of a bridge, as it came. */
export type Told = [name: string, event: Record<string, unknown>];

/** One node. */
export interface Node extends Stand {
  /** What its bridge has emitted so far: `sessionStart` and `sessionEnd`. */
  readonly events: Told[];
  /** The rooms of the bridge that local sockets are in. */
  rooms(): string[];
}

/** Nodes that run. */
export interface Nodes {
  readonly all: readonly Node[];
  /** What the names of the store's keys begin with. */
  readonly prefix: string;
  /** What the names of the messenger's channels and keys begin with. */
  readonly channel: string;
  /** One browser, once for each node: they share their cookies. */
  visitor(): Browser[];
  close(): Promise<void>;
}

type Client = ReturnType<typeof createClient>;
type Adapter = (nsp: Namespace) => object;

const running = new Set<Nodes>();

/** Closes all nodes: for `afterEach`. */
export async function closeNodes(): Promise<void> {
  await Promise.all([...running].map((nodes) => nodes.close()));
}

/** Connects a client; what it duplicates is noted in `made`. */
export async function connectClient(
  port: number,
  made: Client[],
): Promise<Client> {
  const client = createClient({
    url: `redis://127.0.0.1:${port}`,
    socket: { reconnectStrategy: () => 50 },
  });
  client.on("error", () => {});
  const duplicate = client.duplicate.bind(client);
  Object.assign(client, {
    duplicate(...args: Parameters<typeof duplicate>) {
      const copy = duplicate(...args);
      copy.on("error", () => {});
      made.push(copy as Client);
      return copy;
    },
  });
  await client.connect();
  return client as Client;
}

/** Makes the adapter of a messenger. */
export async function adapterOf(
  messenger: Messenger,
  client: Client,
  channel: string,
): Promise<Adapter> {
  if (messenger === "redis-streams") {
    return createStreams(client, {
      streamName: channel,
      channelPrefix: channel,
      sessionKeyPrefix: `${channel}:`,
      // it looks up only then whether it was closed
      blockTimeInMs: 50,
    }) as Adapter;
  }
  const listener = client.duplicate();
  await listener.connect();
  return createRedis(client, listener, { key: channel }) as Adapter;
}

/** Starts nodes on the Redis at this port; {@linkcode closeNodes} closes them. */
export async function startNodes(
  port: number,
  config: NodesConfig = {},
): Promise<Nodes> {
  const { messenger = "redis", count = 2, deaf = false } = config;
  const id = randomUUID();
  const [prefix, channel] = [`store-${id}:`, `told-${id}`];
  const clients: Client[] = [];
  const made: Client[] = [];
  const stores: RedisStore[] = [];
  const all: Node[] = [];

  const start = async () => {
    const client = await connectClient(port, made);
    clients.push(client);
    const store = new RedisStore({ client, prefix });
    stores.push(store);
    const adapter = await adapterOf(messenger, client, channel);
    const stand = await startServer(
      { store, ...config.options },
      setUp,
      {
        io: {
          ...config.io,
          adapter: (deaf ? deafened(adapter) : adapter) as never,
        },
      },
    );
    all.push(asNode(stand));
  };
  const close = async () => {
    running.delete(nodes);
    await Promise.all(all.map((node) => node.close()));
    for (const store of stores) await store.close();
    // the streams adapter closes its own, once it has noticed
    await until(
      () =>
        messenger !== "redis-streams" || made.every(({ isOpen }) => !isOpen),
      "the messenger's connections closed",
    );
    for (const client of [...made, ...clients]) {
      if (client.isOpen) await client.close();
    }
  };
  const nodes: Nodes = {
    all,
    prefix,
    channel,
    close,
    visitor() {
      const browsers = all.map((node) => node.browser());
      const { jar } = browsers[0]!;
      return browsers.map((browser) => Object.assign(browser, { jar }));
    },
  };
  running.add(nodes);
  for (let i = 0; i < count; i++) await start();
  await until(() => connected(all), "the messenger");
  if (messenger === "redis-streams") await warmUp(all);
  return nodes;
}

/** The usual routes and events, and `POST /regenerate?sockets=follow`. */
function setUp(parts: Parts): void {
  routesAndEvents(parts);
  parts.app.use(async (ctx) => {
    if (ctx.path !== "/regenerate") return;
    const { sockets } = ctx.query;
    await ctx.regenerateSession({ sockets: sockets as "follow" | "leave" });
    ctx.body = { sessionId: ctx.sessionId };
  });
}

/** A browser with a session and a socket on the second node, begun on the first. */
export interface Arrival {
  /** The browser, for each node. */
  readonly at: readonly Browser[];
  readonly client: Awaited<ReturnType<Browser["connect"]>>;
  readonly sessionId: string;
  readonly clientId: string;
}

/** Begins a session on the first node, and connects a socket to the second. */
export async function arrive(
  nodes: Nodes,
  session: TestSession = { n: 1 },
): Promise<Arrival> {
  const at = nodes.visitor();
  const [a, b] = at;
  await a!.post("/session", { json: session });
  const { sessionId, clientId } = (await a!.get("/")).json;
  const client = await b!.connect();
  return { at, client, sessionId, clientId };
}

function asNode(stand: Stand): Node {
  const events: Told[] = [];
  for (const name of ["sessionStart", "sessionEnd"] as const) {
    stand.bridge.on(name, (event: object) => {
      events.push([name, { ...event }]);
    });
  }
  return {
    ...stand,
    events,
    rooms: () =>
      [...stand.io.of("/").adapter.rooms.keys()]
        .filter((room) => room.startsWith("koa-io:")),
  };
}

function deafened(make: Adapter): Adapter {
  // called with new, which an arrow would not have
  return function (nsp) {
    return Object.assign(make(nsp), { serverSideEmit() {} });
  };
}

/** Subscriptions begin in their own time, and nobody tells. */
async function connected(all: readonly Node[]): Promise<boolean> {
  for (const { io } of all) {
    if (await io.of("/").adapter.serverCount() < all.length) return false;
  }
  return true;
}

/** Until it has read a first entry, the streams adapter misses what comes between two looks. */
async function warmUp(all: readonly Node[]): Promise<void> {
  const read = new Set<object>();
  for (const { io } of all) {
    const adapter = io.of("/").adapter as unknown as Raw;
    const { onRawMessage } = adapter;
    adapter.onRawMessage = (...args) => {
      read.add(adapter);
      onRawMessage.apply(adapter, args);
    };
  }
  await until(() => {
    if (read.size === all.length) return true;
    all[0]!.io.emit("warm-up");
    return false;
  }, "the streams");
}

/** The adapter's door for what the stream brings. */
interface Raw {
  onRawMessage(...args: unknown[]): void;
}
