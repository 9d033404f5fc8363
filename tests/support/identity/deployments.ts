/**
 * The deployments that the rules of identity hold on: one process on each kind
 * of store, and two nodes that share a Redis.
 */
import { SessionStore } from "@koa-io/session";
import { afterEach, describe, it } from "@std/testing/bdd";
import { closeNodes, startNodes } from "../cluster/nodes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../redis/server.ts";
import { type Stores, storesOf } from "../redis/stores.ts";
import { routesAndEvents } from "../routes.ts";
import { closeServers, startServer, type TestOptions } from "../server.ts";
import { withSqlite } from "../sqlite.ts";
import { fakeStore } from "../stores/fake_store.ts";
import { makeWorld, routesOf, type RouteTable, type World } from "./world.ts";

/** How tests run on one deployment. */
export interface Deployment {
  /** Starts it. It is closed after the test. */
  start(options?: TestOptions): Promise<World>;
  /** Closes the server of a world in one process, and starts another one on its store. */
  restart(world: World): Promise<World>;
  /** Registers a test; it needs Redis where the deployment does. */
  it(name: string, body: () => Promise<void>): void;
  /** Whether there are two nodes. */
  readonly isCluster: boolean;
}

type Setting = (tests: (deployment: Deployment) => void) => void;

/** What is closed after a test, once its servers are. */
const closing: (() => unknown)[] = [];

/**
 * Registers tests for each deployment.
 *
 * @param cluster whether for two nodes too
 */
export function onEachDeployment(
  title: string,
  tests: (deployment: Deployment) => void,
  { cluster = true }: { readonly cluster?: boolean } = {},
): void {
  const register = (name: string, setting: Setting) =>
    describe(`${title}, on ${name}`, () => {
      afterEach(closeAll);
      setting(tests);
    });
  const process: Record<string, () => TestOptions["store"]> = {
    "SessionStore": () => new SessionStore({ autoCleanup: false }),
    "a synchronous basic store": () => fakeStore({ sync: true }),
    "a synchronous basic store with on": () =>
      fakeStore({ sync: true, on: true }),
  };
  withSqlite(({ SqliteStore }) => {
    process["SqliteStore"] = () => {
      const store = new SqliteStore({ path: ":memory:" });
      closing.push(() => store.close());
      return store;
    };
  });
  for (const [name, store] of Object.entries(process)) {
    register(name, (tests) => {
      const start = (options?: TestOptions) =>
        startOne({ store: store()!, ...options });
      tests({ start, restart, it, isCluster: false });
    });
  }
  register("RedisStore", onRedis);
  if (cluster) register("two nodes", onNodes);
}

const onRedis: Setting = (tests) => {
  let server: RedisServer;
  withRedisServer((started) => server = started);
  const start = async (options?: TestOptions) => {
    const stores: Stores = storesOf("redis");
    closing.push(() => stores.close());
    return startOne({ store: await stores.open(server.port), ...options });
  };
  tests({ start, restart, it: itNeedsRedis, isCluster: false });
};

const onNodes: Setting = (tests) => {
  let server: RedisServer;
  withRedisServer((started) => server = started);
  const start = async (options: TestOptions = {}) => {
    const routes: RouteTable = new Map();
    const nodes = await startNodes(server.port, {
      options,
      setUp: routesOf(routes),
    });
    const [here, there] = nodes.all;
    return makeWorld(here!, there!, routes);
  };
  tests({ start, restart, it: itNeedsRedis, isCluster: true });
};

/** The options of each world in one process, its store among them. */
const optionsOf = new WeakMap<World, TestOptions>();

async function startOne(options: TestOptions): Promise<World> {
  const routes: RouteTable = new Map();
  const stand = await startServer(options, (parts) => {
    routesAndEvents(parts);
    routesOf(routes)(parts);
  });
  const world = makeWorld(stand, stand, routes);
  optionsOf.set(world, options);
  return world;
}

async function restart(world: World): Promise<World> {
  await world.here.close();
  return await startOne(optionsOf.get(world)!);
}

async function closeAll(): Promise<void> {
  await closeServers();
  await closeNodes();
  for (const close of closing.splice(0)) await close();
}
