/**
 * Several nodes in one process: each a whole server with a store and a
 * messenger on clients of its own, all on one Redis or one PostgreSQL.
 */
import type { ServerOptions } from "socket.io";
import type { TestSession } from "../app.ts";
import { BridgeRooms } from "../bridge_rooms.ts";
import type { Browser } from "../browser.ts";
import { CookieJar } from "../cookies.ts";
import { type Parts, routesAndEvents } from "../routes.ts";
import { type Stand, startServer, type TestOptions } from "../server.ts";
import type { Address } from "../postgres/cluster.ts";
import { until } from "../wait.ts";
import { postgresBackend, redisBackend } from "./backends.ts";
import { type Messenger, silenced, warmUp } from "./messengers.ts";

/** The configuration of the nodes of a test. */
export interface NodesConfig {
  /**
   * The messenger in Redis.
   *
   * @default {"redis"}
   */
  readonly messenger?: Messenger;
  /** @default {2} */
  readonly count?: number;
  /** Of each bridge. */
  readonly options?: TestOptions;
  /** Adds routes to each node, before the usual ones. */
  readonly setUp?: (parts: Parts) => void;
  /** Of each Socket.IO server. */
  readonly io?: Partial<ServerOptions>;
  /** Whether messages between nodes get lost. Packets to rooms do not. */
  readonly losesMessages?: boolean;
}

/** An event that a bridge emitted. */
export type EmittedEvent = [name: string, event: Record<string, unknown>];

/** One node. */
export interface Node extends Stand {
  /** What its bridge has emitted so far: `sessionStart` and `sessionEnd`. */
  readonly events: EmittedEvent[];
  /** The rooms of the bridge that local sockets are in. */
  rooms(): string[];
}

/** Running nodes. */
export interface Nodes {
  readonly all: readonly Node[];
  /** What the names of the store's keys begin with. */
  readonly prefix: string;
  /** What the names of the messenger's channels and keys begin with. */
  readonly channel: string;
  /** One browser, as an instance for each node with a common jar. */
  browsers(): Browser[];
  close(): Promise<void>;
}

const running = new Set<Nodes>();

/** Closes all nodes: for `afterEach`. */
export async function closeNodes(): Promise<void> {
  await Promise.all([...running].map((nodes) => nodes.close()));
}

/**
 * Starts nodes; {@linkcode closeNodes} closes them.
 *
 * @param at the port of Redis, or the address of PostgreSQL
 */
export async function startNodes(
  at: number | Address,
  config: NodesConfig = {},
): Promise<Nodes> {
  const { messenger = "redis", count = 2, losesMessages = false } = config;
  const backend = typeof at === "number"
    ? redisBackend(at, messenger)
    : postgresBackend(at);
  const { prefix, channel } = backend;
  const all: Node[] = [];

  const start = async () => {
    const { store, adapter } = await backend.equip();
    const stand = await startServer(
      { store, ...config.options },
      (parts) => {
        config.setUp?.(parts);
        setUp(parts);
      },
      {
        io: {
          ...config.io,
          adapter: (losesMessages ? silenced(adapter) : adapter) as never,
        },
      },
    );
    all.push(asNode(stand));
  };
  const close = async () => {
    running.delete(nodes);
    await Promise.all(all.map((node) => node.close()));
    await backend.close();
  };
  const nodes: Nodes = {
    all,
    prefix,
    channel,
    close,
    browsers() {
      const jar = new CookieJar();
      return all.map((node) => node.browser(jar));
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
  const at = nodes.browsers();
  const [a, b] = at;
  await a!.post("/session", { json: session });
  const { sessionId, clientId } = (await a!.get("/")).json;
  const client = await b!.connect();
  return { at, client, sessionId, clientId };
}

function asNode(stand: Stand): Node {
  const events: EmittedEvent[] = [];
  for (const name of ["sessionStart", "sessionEnd"] as const) {
    stand.bridge.on(name, (event: object) => {
      events.push([name, { ...event }]);
    });
  }
  const rooms = new BridgeRooms(stand.io);
  return { ...stand, events, rooms: () => rooms.names() };
}

/** Subscriptions begin without an event. */
async function connected(all: readonly Node[]): Promise<boolean> {
  for (const { io } of all) {
    if (await io.of("/").adapter.serverCount() < all.length) return false;
  }
  return true;
}
