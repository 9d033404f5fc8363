/**
 * Reports what an application removes from a shared store past the bridge.
 *
 * @module
 */
import type {
  RemovalReason,
  SessionRecord,
  SharedStore,
} from "../api/store.ts";
import type { RecordStore } from "./record_store.ts";

type Listener = (
  sid: string,
  reason: RemovalReason,
  record: SessionRecord,
) => void;

/** A shared store that reports its removals. */
interface ReportingStore {
  on(event: "removed", listener: Listener): unknown;
  off(event: "removed", listener: Listener): unknown;
}

/** A shared store as a bridge uses it. */
interface WatchedStore {
  readonly records: RecordStore;
  readonly unsubscribe: () => void;
}

/** Sessions that a bridge of this process is removing, by store: it reports their ends itself. */
const removing = new WeakMap<object, Map<string, number>>();

/**
 * Watches a store, if it reports removals.
 *
 * @param removed is called for each session that was destroyed by another
 * caller than a bridge
 */
export function watchRemovals(
  store: SharedStore,
  removed: (sid: string, record: SessionRecord) => void,
): WatchedStore {
  if (!isReporting(store)) return { records: store, unsubscribe: () => {} };
  const own = removing.get(store) ?? new Map<string, number>();
  removing.set(store, own);
  const listener: Listener = (sid, reason, record) => {
    if (reason === "destroyed" && !own.has(sid)) removed(sid, record);
  };
  store.on("removed", listener);
  return {
    records: withDestroy(store, async (sid, note) => {
      own.set(sid, (own.get(sid) ?? 0) + 1);
      try {
        return await store.destroy(sid, note);
      } finally {
        const rest = own.get(sid)! - 1;
        if (rest > 0) own.set(sid, rest);
        else own.delete(sid);
      }
    }),
    unsubscribe: () => void store.off("removed", listener),
  };
}

function isReporting(
  store: SharedStore,
): store is SharedStore & ReportingStore {
  const { on, off } = store as Partial<ReportingStore>;
  return typeof on === "function" && typeof off === "function";
}

/** The same store with another `destroy`. */
function withDestroy(
  store: SharedStore,
  destroy: SharedStore["destroy"],
): RecordStore {
  const bound = new WeakMap<object, unknown>();
  return new Proxy(store, {
    get(target, key) {
      if (key === "destroy") return destroy;
      // an application may replace a method, to measure its calls
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      const known = bound.get(value);
      if (known) return known;
      // private members are reached through the store itself only
      const method: unknown = value.bind(target);
      bound.set(value, method);
      return method;
    },
  });
}
