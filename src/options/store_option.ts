/**
 * The options that say where sessions are stored.
 *
 * @module
 */
import type { OptionReader } from "./option_reader.ts";
import type { ContextStoreClass } from "../api/options.ts";
import { MAX_TIMER } from "../base/timers.ts";
import type { SessionStoreOptions } from "../stores/memory/options.ts";
import { type AtomicStore, type BasicStore, isAtomic } from "../api/store.ts";

const BASIC = ["get", "set", "destroy"];
const ATOMIC = [
  "read",
  "write",
  "begin",
  "extend",
  "destroy",
  "move",
  "former",
  "byClient",
  "byUser",
];
const SHARED = [
  "acquire",
  "commit",
  "tryLock",
  "unlock",
  "byHash",
  "versions",
  "close",
];

/** The store that was given, or the class whose instances are the store of each Koa context. */
export function readStores(o: OptionReader): {
  store: BasicStore | AtomicStore | undefined;
  ContextStore: ContextStoreClass | undefined;
} {
  const store = o.get("store");
  const ContextStore = o.get("ContextStore");
  if (store !== undefined && ContextStore !== undefined) {
    throw new TypeError(
      "Cannot bridge sessions as the options store and ContextStore exclude each other: received both",
    );
  }
  if (store !== undefined) {
    if (typeof store !== "object") {
      o.wrong("store", "an object with get, set and destroy", store);
    }
    const names = !isAtomic(store as object)
      ? BASIC
      : (store as AtomicStore).scope === "shared"
      ? [...ATOMIC, ...SHARED]
      : ATOMIC;
    o.methods("store", store as object, names);
    if ("on" in (store as object)) {
      o.methods("store", store as object, ["on"]);
    }
  }
  if (ContextStore !== undefined) {
    const prototype = typeof ContextStore === "function"
      ? ContextStore.prototype
      : undefined;
    if (typeof prototype !== "object" || prototype === null) {
      o.wrong(
        "ContextStore",
        "a class with get, set and destroy",
        ContextStore,
      );
    }
    o.methods("ContextStore", prototype, BASIC);
  }
  return {
    store: store as BasicStore | AtomicStore | undefined,
    ContextStore: ContextStore as ContextStoreClass | undefined,
  };
}

/** The options of the default store. They are read, and so not forwarded, even where another is given. */
export function defaultStoreOptions(
  o: OptionReader,
  maxAge: number | "session",
): SessionStoreOptions {
  return {
    maxAge,
    autoCleanup: o.boolean("autoCleanup"),
    autoCleanupMs: o.ms("autoCleanupMs", MAX_TIMER),
    maxEntries: o.get("maxEntries") as number | undefined,
  };
}
