/**
 * The operations of the store on the clients of both packages.
 *
 * @module
 */
import { refuse } from "../../base/arguments.ts";
import { waitAtMost } from "../../base/async.ts";
import type {
  Connection,
  IoredisClient,
  IoredisSubscriber,
  NodeRedisClient,
  RedisClient,
  RedisNode,
} from "./client.ts";
import { CLOSING_MS, Duplicate } from "./duplicate.ts";
import { MAKING } from "./options.ts";

/**
 * Distinguishes the clients and checks that they have the required methods.
 *
 * @throws {TypeError} when a method is missing, by its name
 */
export function connection(client: RedisClient): Connection {
  if (typeof client !== "object" || client === null) {
    refuse(MAKING, "client", "a client of redis or ioredis", client);
  }
  const ioredis = "evalsha" in client && !("evalSha" in client);
  for (const method of [ioredis ? "evalsha" : "evalSha", "eval", "duplicate"]) {
    const value = (client as unknown as Record<string, unknown>)[method];
    if (typeof value !== "function") {
      const expected = "a function, as in redis and ioredis";
      refuse(MAKING, `client.${method}`, expected, value);
    }
  }
  return ioredis ? ofIoredis(client) : ofNodeRedis(client as NodeRedisClient);
}

/** The methods of a node-redis cluster that select a node. */
interface NodeRedisCluster {
  readonly masters: readonly unknown[];
  nodeClient(node: unknown): NodeRedisClient | Promise<NodeRedisClient>;
  /** Takes the key which selects the node. */
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean,
    args: string[],
  ): Promise<unknown>;
}

function ofNodeRedis(client: NodeRedisClient): Connection {
  const cluster = "masters" in client;
  const connection: Connection = {
    cluster,
    async nodes() {
      if (!cluster) return [{ ...connection, prefix: "" }];
      const { masters } = client as unknown as NodeRedisCluster;
      const clients = await Promise.all(
        masters.map((node) =>
          (client as unknown as NodeRedisCluster).nodeClient(node)
        ),
      );
      return clients.map((one) => ofMaster(ofNodeRedis(one), ""));
    },
    run({ sha, lua }, keys, args) {
      const call = cluster
        ? ofCluster(client as unknown as NodeRedisCluster, keys, args)
        : ofOne(client, keys, args);
      return call("evalSha", sha).catch((error: unknown) => {
        if (unknownScript(error)) return call("eval", lua);
        throw error;
      });
    },
    subscriber: (channel, onMessage) =>
      new Duplicate(client.duplicate(), cluster, channel, onMessage),
  };
  return connection;
}

function ofMaster({ run }: Connection, prefix: string): RedisNode {
  return { run, cluster: true, prefix };
}

type Call = (method: "evalSha" | "eval", script: string) => Promise<unknown>;

function ofOne(
  client: NodeRedisClient,
  keys: readonly string[],
  args: readonly string[],
): Call {
  const options = { keys: [...keys], arguments: [...args] };
  return (method, script) => client[method](script, options);
}

/** `evalSha` of version 4 does not select the node by the key. */
function ofCluster(
  client: NodeRedisCluster,
  keys: readonly string[],
  args: readonly string[],
): Call {
  const rest = [String(keys.length), ...keys, ...args];
  return (method, script) =>
    client.sendCommand(keys[0], false, [method, script, ...rest]);
}

/** A subscriber keeps reconnecting, whatever the options of its client are. */
const SUBSCRIBER_OPTIONS = {
  autoResubscribe: true,
  enableOfflineQueue: true,
  enableReadyCheck: false,
  keyPrefix: "",
  lazyConnect: false,
  maxRetriesPerRequest: null,
};

/** The members of an ioredis cluster that its nodes are reached by. */
interface IoredisCluster {
  nodes(role: "master"): readonly IoredisClient[];
  readonly options?: { readonly keyPrefix?: string };
}

function ofIoredis(client: IoredisClient): Connection {
  const cluster = "isCluster" in client && client.isCluster === true;
  const connection: Connection = {
    cluster,
    nodes() {
      if (!cluster) return Promise.resolve([{ ...connection, prefix: "" }]);
      const { nodes, options } = client as unknown as IoredisCluster;
      const masters = nodes.call(client, "master");
      const prefix = options?.keyPrefix ?? "";
      return Promise.resolve(
        masters.map((one) => ofMaster(ofIoredis(one), prefix)),
      );
    },
    run({ sha, lua }, keys, args) {
      return client.evalsha(sha, keys.length, ...keys, ...args).catch(
        (error: unknown) => {
          if (!unknownScript(error)) throw error;
          return client.eval(lua, keys.length, ...keys, ...args);
        },
      ).catch((error: unknown) => {
        throw withoutCommand(error);
      });
    },
    subscriber(channel, onMessage) {
      const duplicate = (client.duplicate as (
        ...args: unknown[]
      ) => IoredisSubscriber).apply(
        client,
        cluster ? [[], SUBSCRIBER_OPTIONS] : [SUBSCRIBER_OPTIONS],
      );
      const connected = () =>
        "status" in duplicate && duplicate.status === "ready";
      duplicate.on(
        "message",
        (_channel, message) => onMessage(String(message)),
      );
      return {
        on: (event, on) => duplicate.on(event, on),
        // it connects on creation
        connect: () =>
          new Promise<void>((resolve, reject) => {
            duplicate.on("ready", () => resolve());
            duplicate.on("end", () =>
              reject(
                new Error("Cannot subscribe as the connection has ended"),
              ));
          }),
        subscribe: () => duplicate.subscribe(channel),
        connected,
        disconnect: async () => {
          const ended = new Promise((resolve) => duplicate.on("end", resolve));
          // without a connection there is no such event
          const ends = connected();
          duplicate.disconnect();
          if (ends) await waitAtMost(ended, CLOSING_MS);
        },
      };
    },
  };
  return connection;
}

/** Removes the command that ioredis adds to errors: session ids and data must not get into logs. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && "command" in error) delete error.command;
  return error;
}

function unknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
