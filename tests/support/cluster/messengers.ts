/** The adapters of Socket.IO that carry messages between nodes. */
import {
  createAdapter as createRedis,
  createShardedAdapter,
} from "@socket.io/redis-adapter";
import { createAdapter as createStreams } from "@socket.io/redis-streams-adapter";
import { randomUUID } from "node:crypto";
import { createClient } from "redis";
import type { Namespace, Server } from "socket.io";
import { until } from "../wait.ts";

/** A client of the messenger's Redis. */
export type RedisConnection = ReturnType<typeof createClient>;

/** What Socket.IO takes for its option `adapter`. */
export type AdapterFactory = (nsp: Namespace) => object;

/** The adapters that carry messages between the nodes. */
export const MESSENGERS = ["redis", "redis-streams"] as const;

/** The same, and the adapter that subscribes to a channel for each room. */
export const ADAPTERS = [...MESSENGERS, "redis-sharded"] as const;

/** One of {@linkcode ADAPTERS}. */
export type Messenger = typeof ADAPTERS[number];

/** Connects a client; its duplicates are added to `made`. */
export async function connectClient(
  port: number,
  made: RedisConnection[],
): Promise<RedisConnection> {
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
      made.push(copy as RedisConnection);
      return copy;
    },
  });
  await client.connect();
  return client as RedisConnection;
}

/** A prefix for the keys of the store and a name for the channels of the messenger that are not in use yet. */
export function newKeys(): { prefix: string; channel: string } {
  const id = randomUUID();
  return { prefix: `store-${id}:`, channel: `messages-${id}` };
}

/** Makes the adapter of a messenger. */
export async function adapterOf(
  messenger: Messenger,
  client: RedisConnection,
  channel: string,
): Promise<AdapterFactory> {
  if (messenger === "redis-streams") {
    return createStreams(client, {
      streamName: channel,
      channelPrefix: channel,
      sessionKeyPrefix: `${channel}:`,
      // the adapter checks between two reads whether it was closed
      blockTimeInMs: 50,
    }) as AdapterFactory;
  }
  const listener = client.duplicate();
  await listener.connect();
  if (messenger === "redis-sharded") {
    const options = { channelPrefix: channel };
    return createShardedAdapter(client, listener, options) as AdapterFactory;
  }
  return createRedis(client, listener, { key: channel }) as AdapterFactory;
}

/** An adapter whose messages between servers get lost; packets to rooms do not. */
export function silenced(make: AdapterFactory): AdapterFactory {
  // called with new, which an arrow would not have
  return function (nsp) {
    return Object.assign(make(nsp), { serverSideEmit() {} });
  };
}

/** Waits until each node has read an entry: before, the streams adapter misses entries between two reads. */
export async function warmUp(
  all: readonly { readonly io: Server }[],
): Promise<void> {
  const read = new Set<object>();
  for (const { io } of all) {
    const adapter = io.of("/").adapter as unknown as StreamsAdapter;
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

/** The method of the adapter that receives the entries of the stream. */
interface StreamsAdapter {
  onRawMessage(...args: unknown[]): void;
}
