/** A RedisStore whose messages and answers a test holds back, sends again or reorders. */
import { type RedisClient, RedisStore } from "@koa-io/session/redis";
import { openClient, type PACKAGES } from "./clients.ts";

type Run = () => Promise<unknown>;

/** The store, and what a test can do to its connection. */
export interface Intercepted {
  readonly store: RedisStore;
  /** Called with each script; it may run it later, or more than once. */
  onRun: (run: Run) => Promise<unknown>;
  /** Messages that are held back. */
  readonly messages: (() => void)[];
  /** Whether messages are held back. */
  holdsMessages: boolean;
  close(): Promise<void>;
}

/** Opens it; it behaves as any other until the test says otherwise. */
export async function intercepted(
  name: typeof PACKAGES[number],
  port: number,
  prefix: string,
): Promise<Intercepted> {
  const owned = await openClient(name, port);
  const runner = name === "ioredis" ? "evalsha" : "evalSha";
  const held = (listener: (...args: unknown[]) => void) =>
  (
    ...args: unknown[]
  ) => {
    if (result.holdsMessages) result.messages.push(() => listener(...args));
    else listener(...args);
  };
  const subscriber = (target: object): unknown =>
    wrapped(target, (key, value) => (...args: unknown[]) => {
      const listens = name === "ioredis"
        ? key === "on" && args[0] === "message"
        : key === "subscribe";
      if (listens) args[1] = held(args[1] as () => void);
      return value.apply(target, args);
    });
  const client = wrapped(owned.client, (key, value) => (...args: unknown[]) => {
    const call = () => value.apply(owned.client, args);
    if (key === runner) return result.onRun(call as Run);
    return key === "duplicate" ? subscriber(call() as object) : call();
  });
  const store = new RedisStore({ client: client as RedisClient, prefix });
  const result: Intercepted = {
    store,
    onRun: (run) => run(),
    messages: [],
    holdsMessages: false,
    async close() {
      await store.close();
      await owned.close();
    },
  };
  return result;
}

type Method = (...args: unknown[]) => unknown;

function wrapped(
  target: object,
  wrap: (key: string | symbol, value: Method) => Method,
): unknown {
  return new Proxy(target, {
    get(_, key) {
      const value = Reflect.get(target, key);
      return typeof value === "function" ? wrap(key, value as Method) : value;
    },
  });
}
