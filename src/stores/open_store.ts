/**
 * Opening the store of the options: whatever its tier, the bridge uses it as a
 * store of records with conditional writes.
 *
 * @module
 */
import { BasicStoreAdapter } from "./basic_adapter.ts";
import { SessionStoreError } from "../api/errors.ts";
import type { EndReason } from "../api/events.ts";
import type { ContextStoreClass, ResolvedOptions } from "../api/options.ts";
import {
  type AtomicStore,
  type BasicStore,
  isAtomic,
  type RemovalReason,
  type SessionRecord,
  type SharedStore,
} from "../api/store.ts";
import { reportsOf } from "../base/store_reports.ts";
import type { RecordStore } from "./record_store.ts";
import { watchRemovals } from "./shared_removals.ts";

/** Receives the removals that a store reports. */
export interface StoreListener {
  /** The store removed a session, for this reason. */
  removed(sid: string, reason: EndReason, record?: SessionRecord): void;
  /** The store has no such session any more. */
  missed(sid: string): void;
}

/** A store with the bridge's listener attached. */
export interface OpenStore {
  readonly records: RecordStore;
  /** The value of `bridge.store`. */
  readonly store: BasicStore | AtomicStore;
  /** Whether the store reports every removal. */
  readonly reportsRemovals: boolean;
  /** Detaches the listener. */
  readonly unsubscribe: () => void;
}

const REMOVED: Readonly<Record<RemovalReason, EndReason>> = {
  destroyed: "revoked",
  expired: "expired",
  evicted: "evicted",
  moved: "rotated",
};

/**
 * Opens the store that the options name, and attaches the listener.
 *
 * @param failed receives failures that the store reports by itself
 */
export function openStore(
  options: ResolvedOptions,
  listener: StoreListener,
  failed: (error: unknown) => void,
): OpenStore {
  const { store, ContextStore } = options;
  if (ContextStore) return openContextStore(options, ContextStore);
  return isAtomic(store!)
    ? openAtomic(store, listener, failed)
    : openBasic(options, store!, listener);
}

function openAtomic(
  store: AtomicStore,
  listener: StoreListener,
  failed: (error: unknown) => void,
): OpenStore {
  const { on, off } = store as ReportingStore;
  const reports = reportsOf(store);
  const opened = reports.allRemovals
    ? openReporting(store as AtomicStore & ReportingStore, listener)
    : store.scope === "shared"
    ? watchRemovals(
      store as SharedStore,
      (sid, record) => listener.removed(sid, "revoked", record),
    )
    : { records: store, unsubscribe: () => {} };
  if (reports.errors) on!.call(store, "error", failed);
  return {
    records: opened.records,
    store,
    reportsRemovals: reports.allRemovals,
    unsubscribe() {
      opened.unsubscribe();
      if (reports.errors) off!.call(store, "error", failed);
    },
  };
}

/** A store of this package that reports more than the contract asks for. */
interface ReportingStore {
  on?(event: string, listener: (...args: never[]) => void): unknown;
  off?(event: string, listener: (...args: never[]) => void): unknown;
}

function openReporting(
  store: AtomicStore & ReportingStore,
  listener: StoreListener,
): Pick<OpenStore, "records" | "unsubscribe"> {
  const removed = (sid: string, reason: RemovalReason, record: SessionRecord) =>
    listener.removed(sid, REMOVED[reason], record);
  store.on!("removed", removed);
  return {
    records: store,
    unsubscribe: () => void store.off!("removed", removed),
  };
}

function openContextStore(
  options: ResolvedOptions,
  ContextStore: ContextStoreClass,
): OpenStore {
  const made = new WeakMap<object, BasicStore>();
  const pick = (ctx: unknown) => {
    if (typeof ctx !== "object" || ctx === null) {
      throw new SessionStoreError(
        "Cannot reach the session by its id alone as a ContextStore needs a Koa context",
      );
    }
    let own = made.get(ctx);
    if (!own) made.set(ctx, own = new ContextStore(ctx as never));
    return own;
  };
  const records = new BasicStoreAdapter(pick, {
    ...options,
    needsContext: true,
  });
  const store = ContextStore.prototype as BasicStore;
  const unsubscribe = () => records.stop();
  return { records, store, reportsRemovals: false, unsubscribe };
}

function openBasic(
  options: ResolvedOptions,
  store: BasicStore,
  listener: StoreListener,
): OpenStore {
  const hasEvents = typeof store.on === "function";
  const records = new BasicStoreAdapter(() => store, {
    ...options,
    needsContext: false,
  });
  const removed = (_store: unknown, sid: string) => {
    records.removed(sid);
    listener.missed(sid);
  };
  if (hasEvents) store.on!("destroy", removed);
  const unsubscribe = () => {
    if (hasEvents) store.off?.("destroy", removed);
    records.stop();
  };
  return { records, store, reportsRemovals: false, unsubscribe };
}
