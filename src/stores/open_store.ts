/**
 * The store that was given, opened as records: whatever its tier, the rest of
 * the bridge sees conditional writes.
 *
 * @module
 */
import { BasicStoreAdapter } from "./basic_adapter.ts";
import { SessionStoreError } from "../api/errors.ts";
import type { EndReason } from "../api/events.ts";
import type { ContextStoreClass, ResolvedOptions } from "../api/options.ts";
import { SessionStore } from "./memory.ts";
import {
  type AtomicStore,
  type Awaitable,
  type BasicStore,
  type BeginResult,
  isAtomic,
  type RemovalReason,
  type SessionRecord,
  type StoredRecord,
  type Version,
} from "../api/store.ts";

/** Hears of what a store removes by itself, or was asked to behind our back. */
export interface StoreListener {
  /** A session is gone, and why. */
  removed(sid: string, reason: EndReason, record: SessionRecord): void;
  /** A session is gone. */
  missed(sid: string): void;
}

/** A store that is listened to. */
export interface OpenStore {
  readonly records: RecordStore;
  /** What `bridge.store` is. */
  readonly store: BasicStore | AtomicStore;
  /** Whether the store tells of every end. */
  readonly reportsRemovals: boolean;
  /** Listens no more. */
  readonly unsubscribe: () => void;
}

const REMOVED: Readonly<Record<RemovalReason, EndReason>> = {
  destroyed: "revoked",
  expired: "expired",
  evicted: "evicted",
  moved: "rotated",
};

export function openStore(
  options: ResolvedOptions,
  listener: StoreListener,
): OpenStore {
  const { store, ContextStore } = options;
  if (ContextStore) return openContextStore(options, ContextStore);
  if (store instanceof SessionStore) return openSessionStore(store, listener);
  return isAtomic(store!)
    ? { records: store, store, reportsRemovals: false, unsubscribe: () => {} }
    : openBasic(options, store!, listener);
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
  const records = Object.assign(basicRecords(options, false, pick), {
    needsContext: true,
  });
  const store = ContextStore.prototype as BasicStore;
  return { records, store, reportsRemovals: false, unsubscribe: () => {} };
}

function openSessionStore(
  store: SessionStore,
  listener: StoreListener,
): OpenStore {
  const removed = (sid: string, reason: RemovalReason, record: SessionRecord) =>
    listener.removed(sid, REMOVED[reason], record);
  store.on("removed", removed);
  const leave = () => void store.off("removed", removed);
  return { records: store, store, reportsRemovals: true, unsubscribe: leave };
}

function openBasic(
  options: ResolvedOptions,
  store: BasicStore,
  listener: StoreListener,
): OpenStore {
  const tells = typeof store.on === "function";
  const records = basicRecords(options, tells, () => store);
  const removed = (_store: unknown, sid: string) => {
    records.removed(sid);
    listener.missed(sid);
  };
  if (tells) store.on!("destroy", removed);
  const leave = () => {
    if (tells) store.off?.("destroy", removed);
  };
  return { records, store, reportsRemovals: false, unsubscribe: leave };
}

function basicRecords(
  { rolling, maxAge }: ResolvedOptions,
  told: boolean,
  pick: (ctx: unknown) => BasicStore,
): BasicStoreAdapter {
  return new BasicStoreAdapter(pick, { told, rolling, maxAge });
}

/** An atomic store that may want to know the Koa context it is used with. */
export interface RecordStore extends AtomicStore {
  /** Set where a conditional write is safe only in a turn of its own. */
  readonly needsExclusiveWrites?: boolean;
  /** Set where no session can be reached without a Koa context. */
  readonly needsContext?: boolean;
  read(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined>;
  write(
    sid: string,
    record: SessionRecord,
    expected: Version | null,
    ctx?: unknown,
    changed?: boolean,
  ): Awaitable<Version | undefined>;
  begin(
    sid: string,
    record: SessionRecord,
    ctx?: unknown,
  ): Awaitable<BeginResult | undefined>;
  extend(sid: string, expires: number, ctx?: unknown): Awaitable<boolean>;
  destroy(
    sid: string,
    options?: { readonly movedTo?: string },
    ctx?: unknown,
  ): Awaitable<boolean>;
}
