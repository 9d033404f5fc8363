/** Stores as users write them: for tests whose subject is the store. */
import { EventEmitter } from "node:events";

/** What a store of koa-session keeps. */
export type Stored = Record<string, unknown>;

/** How a {@linkcode FakeStore} fails. */
export type Fault = "none" | "throw" | "reject" | "hang" | "reject late";

/** A basic store in memory that can be watched and made to fail. */
export interface FakeStore {
  /** The stored objects as JSON text, so that no object is shared with the bridge. */
  readonly kept: Map<string, string>;
  /** Every call so far: `get`, `set` or `destroy`, and its arguments. */
  readonly calls: [operation: string, ...args: unknown[]][];
  /** How its operations fail; all of them, unless `only` names one. */
  fault: Fault;
  /** The operation that fails; `undefined` for all. */
  only: string | undefined;
  get(sid: string, ...rest: unknown[]): Stored | Promise<Stored>;
  set(sid: string, session: Stored, ...rest: unknown[]): unknown;
  destroy(sid: string, ...rest: unknown[]): unknown;
  on?(
    event: string,
    listener: (store: unknown, sid: string) => void,
  ): unknown;
  /** What is kept under an id, read. */
  peek(sid: string): Stored | undefined;
  /** Removes an entry as another program would: without the bridge, with an event. */
  lose(sid: string): void;
}

/** The message of every error that a {@linkcode FakeStore} fails with. */
export const STORE_FAILURE = "the store is down";

/**
 * Makes a {@linkcode FakeStore}.
 *
 * @param options `sync`: answers at once, not by promises; `on`: emits removals
 */
export function fakeStore(
  options: { readonly sync?: boolean; readonly on?: boolean } = {},
): FakeStore {
  const kept = new Map<string, string>();
  const calls: FakeStore["calls"] = [];
  const emitter = new EventEmitter();

  // deno-lint-ignore no-explicit-any
  function run(operation: string, args: unknown[], action: () => unknown): any {
    calls.push([operation, ...args]);
    const fault = store.only === undefined || store.only === operation
      ? store.fault
      : "none";
    switch (fault) {
      case "none":
        return options.sync ? action() : Promise.resolve().then(action);
      case "throw":
        throw new Error(STORE_FAILURE);
      case "reject":
        return Promise.reject(new Error(STORE_FAILURE));
      case "hang":
        return new Promise(() => {});
      case "reject late":
        return new Promise((_resolve, reject) =>
          setTimeout(() => reject(new Error(STORE_FAILURE)), 120)
        );
    }
  }

  function peek(sid: string) {
    const text = kept.get(sid);
    return text === undefined ? undefined : JSON.parse(text) as Stored;
  }

  const store: FakeStore = {
    kept,
    calls,
    fault: "none",
    only: undefined,
    peek,
    get: (sid, ...rest) => run("get", [sid, ...rest], () => peek(sid)),
    set: (sid, session, ...rest) =>
      run(
        "set",
        [sid, session, ...rest],
        () => void kept.set(sid, JSON.stringify(session)),
      ),
    destroy: (sid, ...rest) =>
      run("destroy", [sid, ...rest], () => store.lose(sid)),
    lose(sid) {
      if (kept.delete(sid)) emitter.emit("destroy", store, sid);
    },
    ...(options.on && {
      on: (event: string, listener: (store: unknown, sid: string) => void) =>
        emitter.on(event, listener),
    }),
  };
  return store;
}
