/**
 * The two Redis clients, described by the members that are used: neither
 * package is imported, so neither need be installed to type-check the other.
 *
 * @module
 */
import { refuse } from "../../base/arguments.ts";
import type { Script } from "./scripts.ts";

/** What is listened to on a second connection. */
export interface RedisEvents {
  /** Adds a listener, as Node's `EventEmitter` does. */
  on(event: string, listener: (...args: unknown[]) => void): unknown;
}

/** What {@linkcode NodeRedisClient.duplicate} has to return. */
export interface NodeRedisSubscriber extends RedisEvents {
  /** Connects. */
  connect(): Promise<unknown>;
  /** Listens to a channel. */
  subscribe(
    channel: string,
    listener: (message: string, channel: string) => void,
  ): Promise<unknown>;
  /** Closes the connection. */
  disconnect(): Promise<unknown>;
}

/** A client, or a cluster, of the package `redis` (node-redis) 4 or later. */
export interface NodeRedisClient {
  /** Runs a script that Redis knows. */
  evalSha(
    sha1: string,
    options: { keys: string[]; arguments: string[] },
  ): Promise<unknown>;
  /** Runs a script. */
  eval(
    script: string,
    options: { keys: string[]; arguments: string[] },
  ): Promise<unknown>;
  /** Another client with the same options. */
  duplicate(): NodeRedisSubscriber;
}

/** What {@linkcode IoredisClient.duplicate} has to return. */
export interface IoredisSubscriber extends RedisEvents {
  /** Listens to a channel. */
  subscribe(channel: string): Promise<unknown>;
  /** Closes the connection. */
  disconnect(): void;
}

/** A client, or a cluster, of the package `ioredis` 5 or later. */
export interface IoredisClient {
  /** Runs a script that Redis knows. */
  evalsha(
    sha1: string,
    numkeys: number,
    ...args: string[]
  ): Promise<unknown>;
  /** Runs a script. */
  eval(script: string, numkeys: number, ...args: string[]): Promise<unknown>;
  /** Another client with the same options. */
  duplicate(): IoredisSubscriber;
}

/** A connected client of either package. */
export type RedisClient = NodeRedisClient | IoredisClient;

/** A second connection, which hears what is published on one channel. */
export interface Subscriber extends RedisEvents {
  /** Begins to connect; rejects when the client will not try any more. */
  connect(): Promise<unknown>;
  /** Safe to be called again. */
  subscribe(): Promise<unknown>;
  /** Whether it is connected, as far as it knows. */
  connected(): boolean;
  /** Resolves when the connection is closed, as far as the client tells; never rejects. */
  disconnect(): Promise<void>;
}

/** What the store needs of a client, whichever it is. */
export interface Connection {
  /** Whether it speaks to a Redis Cluster. */
  readonly cluster: boolean;
  run(
    script: Script,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown>;
  subscriber(channel: string, hear: (message: string) => void): Subscriber;
}

/** The action in messages that refuse an option. */
export const MAKING = "make a RedisStore";

/**
 * Tells the clients apart and checks that what is needed is there.
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

/** How a cluster of node-redis is told by which key to find the node. */
interface NodeRedisCluster {
  sendCommand(
    firstKey: string | undefined,
    isReadonly: boolean,
    args: string[],
  ): Promise<unknown>;
}

function ofNodeRedis(client: NodeRedisClient): Connection {
  const cluster = "masters" in client;
  return {
    cluster,
    run({ sha, lua }, keys, args) {
      const call = cluster
        ? ofCluster(client as unknown as NodeRedisCluster, keys, args)
        : ofOne(client, keys, args);
      return call("evalSha", sha).catch((error: unknown) => {
        if (unknownScript(error)) return call("eval", lua);
        throw error;
      });
    },
    subscriber(channel, hear) {
      const duplicate = client.duplicate();
      const listener = (message: string) => hear(String(message));
      return {
        on: (event, on) => duplicate.on(event, on),
        connect: () => duplicate.connect(),
        subscribe: () => duplicate.subscribe(channel, listener),
        // the clusters of some versions do not say
        connected: () =>
          !("isReady" in duplicate) || duplicate.isReady !== false,
        async disconnect() {
          try {
            await duplicate.disconnect();
          } catch {
            // throws or rejects, by version, where there is nothing to close
          }
        },
      };
    },
  };
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

/** Version 4 does not find the key, and so the node, in its own `evalSha`. */
function ofCluster(
  client: NodeRedisCluster,
  keys: readonly string[],
  args: readonly string[],
): Call {
  const rest = [String(keys.length), ...keys, ...args];
  return (method, script) =>
    client.sendCommand(keys[0], false, [method, script, ...rest]);
}

/** A subscriber goes on trying, whatever the client it came from was told. */
const PATIENT = {
  autoResubscribe: true,
  enableOfflineQueue: true,
  enableReadyCheck: false,
  keyPrefix: "",
  lazyConnect: false,
  maxRetriesPerRequest: null,
};

function ofIoredis(client: IoredisClient): Connection {
  const cluster = "isCluster" in client && client.isCluster === true;
  return {
    cluster,
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
    subscriber(channel, hear) {
      const duplicate = (client.duplicate as (
        ...args: unknown[]
      ) => IoredisSubscriber).apply(
        client,
        cluster ? [[], PATIENT] : [PATIENT],
      );
      const connected = () =>
        "status" in duplicate && duplicate.status === "ready";
      duplicate.on("message", (_channel, message) => hear(String(message)));
      return {
        on: (event, on) => duplicate.on(event, on),
        // connects by itself
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
        disconnect: () =>
          new Promise((resolve) => {
            // of a connection that is not there it does not say when it ends
            if (connected()) duplicate.on("end", () => resolve());
            else resolve();
            duplicate.disconnect();
          }),
      };
    },
  };
}

/** What ioredis puts into an error would bring session ids and data into logs. */
function withoutCommand(error: unknown): unknown {
  if (error instanceof Error && "command" in error) delete error.command;
  return error;
}

function unknownScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith("NOSCRIPT");
}
