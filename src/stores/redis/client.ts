/**
 * The two Redis clients, described by the members that are used: neither
 * package is imported, so that each can be used without the other's types.
 *
 * @module
 */
import type { Script } from "./scripts.ts";

/** The events of a second connection. */
export interface RedisEvents {
  /** Adds a listener, as Node's `EventEmitter` does. */
  on(event: string, listener: (...args: unknown[]) => void): unknown;
}

/** The result of {@linkcode NodeRedisClient.duplicate}. */
export interface NodeRedisSubscriber extends RedisEvents {
  /** Connects. */
  connect(): Promise<unknown>;
  /** Subscribes to a channel. */
  subscribe(
    channel: string,
    listener: (message: string, channel: string) => void,
  ): Promise<unknown>;
  /** Closes the connection. */
  disconnect(): Promise<unknown>;
}

/** A client, or a cluster, of the package `redis` (node-redis) 4 or later. */
export interface NodeRedisClient {
  /** Runs a script that Redis has cached. */
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

/** The result of {@linkcode IoredisClient.duplicate}. */
export interface IoredisSubscriber extends RedisEvents {
  /** Subscribes to a channel. */
  subscribe(channel: string): Promise<unknown>;
  /** Closes the connection. */
  disconnect(): void;
}

/** A client, or a cluster, of the package `ioredis` 5 or later. */
export interface IoredisClient {
  /** Runs a script that Redis has cached. */
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

/** A second connection, subscribed to one channel. */
export interface Subscriber extends RedisEvents {
  /** Connects; rejects when the client stops trying. */
  connect(): Promise<unknown>;
  /** Subscribes; may be called repeatedly. */
  subscribe(): Promise<unknown>;
  /** Whether it is connected, as far as the client reports. */
  connected(): boolean;
  /** Resolves when the connection is closed, as far as the client reports; never rejects. */
  disconnect(): Promise<void>;
}

/** The operations of the store on either client. */
export interface Connection {
  /** Whether the client is one of a Redis Cluster. */
  readonly cluster: boolean;
  run(
    script: Script,
    keys: readonly string[],
    args: readonly string[],
  ): Promise<unknown>;
  subscriber(channel: string, onMessage: (message: string) => void): Subscriber;
  /** The nodes that hold keys: of a cluster, each of its masters. */
  nodes(): Promise<readonly RedisNode[]>;
}

/** One node, for scripts that read all of its keys. */
export interface RedisNode extends Pick<Connection, "run"> {
  /** Whether it is one of a cluster: its scripts are given no keys. */
  readonly cluster: boolean;
  /** What the client adds in front of keys, in a cluster. */
  readonly prefix: string;
}
