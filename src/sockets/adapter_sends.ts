/**
 * What adapters send without handling its failure. A Redis client rejects the
 * commands in progress when its connection is lost; as no caller receives that,
 * it would be an unhandled rejection, which ends the process. Last checked with
 * `@socket.io/redis-adapter` 8.3.0, `@socket.io/redis-streams-adapter` 0.3.1,
 * `@socket.io/cluster-adapter` 0.3.0 and `@socket.io/postgres-adapter` 0.5.0:
 * the last two handle all of theirs.
 *
 * @module
 */
import { isThenable } from "../base/async.ts";
import { override } from "../base/override.ts";

/** The name of the bridge's messages to other servers. */
export const BRIDGE_MESSAGE = "koa-io-session";

/** The methods of Redis clients whose results these adapters drop. */
const COMMANDS: ReadonlySet<unknown> = new Set([
  "publish",
  "sPublish",
  "spublish",
  "sSubscribe",
  "ssubscribe",
  "sUnsubscribe",
  "sunsubscribe",
  "pUnsubscribe",
  "punsubscribe",
  "unsubscribe",
]);

/** `MessageType.SERVER_SIDE_EMIT`, public since socket.io-adapter 2.5.4. */
const SERVER_SIDE_EMIT = 9;

/** Handles the rejection of a result that is dropped. */
export function handleRejection(
  result: unknown,
  failed: (error: unknown) => void,
): void {
  if (isThenable(result)) Promise.resolve(result).catch(failed);
}

/**
 * Handles what an adapter leaves unhandled.
 *
 * @param failed receives the errors
 * @returns ends it
 */
export function guardSends(
  adapter: object,
  failed: (error: unknown) => void,
): () => void {
  const removers = [
    guardClient(adapter, "pubClient", failed),
    guardClient(adapter, "subClient", failed),
    guardStream(adapter, failed),
  ];
  return () => removers.forEach((remove) => remove());
}

/**
 * `pubClient` and `subClient`, public in the adapters of redis-adapter: the
 * application's clients. The adapter is given one whose commands are handled.
 */
function guardClient(
  adapter: object,
  name: "pubClient" | "subClient",
  failed: (error: unknown) => void,
): () => void {
  const client: unknown = Reflect.get(adapter, name);
  if (typeof client !== "object" || client === null) return () => {};
  const guarded = new Proxy(client, {
    get(target, key) {
      const member: unknown = Reflect.get(target, key);
      // the class of a client tells the adapter which commands it has
      if (typeof member !== "function" || key === "constructor") return member;
      return (...args: unknown[]) => {
        const result: unknown = member.apply(target, args);
        if (COMMANDS.has(key)) handleRejection(result, failed);
        return result;
      };
    },
  });
  Reflect.set(adapter, name, guarded);
  return () => {
    if (Reflect.get(adapter, name) === guarded) {
      Reflect.set(adapter, name, client);
    }
  };
}

/**
 * `doPublish`, protected in the adapters that are based on `ClusterAdapter`,
 * private by convention. That of redis-streams drops the result of a `PUBLISH`
 * on a client out of reach; what it adds to the stream is handled. It parses the
 * type of a message that it receives, and publishes those whose type is this
 * number: the bridge's own are given the same type as a text.
 */
function guardStream(
  adapter: object,
  failed: (error: unknown) => void,
): () => void {
  if (adapter.constructor.name !== "RedisStreamsAdapter") return () => {};
  return override(
    adapter,
    "doPublish",
    (publish: (message: ClusterMessage) => unknown) => (message) => {
      const isOwn = message.type === SERVER_SIDE_EMIT &&
        message.data?.packet?.[0] === BRIDGE_MESSAGE;
      const published = publish(
        isOwn ? { ...message, type: String(message.type) } : message,
      );
      handleRejection(published, failed);
      return published;
    },
  );
}

/** A message of `ClusterAdapter`, in part. */
interface ClusterMessage {
  readonly type: unknown;
  readonly data?: { readonly packet?: readonly unknown[] };
}
