/**
 * The store that was given, opened as records: whatever its tier, the rest of
 * the bridge sees conditional writes.
 *
 * @module
 */
import { BasicRecords } from "./basic.ts";
import type { Records } from "./door.ts";
import { SessionStoreError } from "./errors.ts";
import type { EndReason } from "./events.ts";
import type { ContextStoreClass, ResolvedOptions } from "./options.ts";
import { SessionStore } from "./session_store.ts";
import {
  type AtomicStore,
  type BasicStore,
  isAtomic,
  type RemovalReason,
  type SessionRecord,
} from "./store.ts";

/** Hears of what a store removes by itself, or was asked to behind our back. */
export interface StoreListener {
  /** A session is gone, and why. */
  removed(sid: string, reason: EndReason, record: SessionRecord): void;
  /** A session is gone. */
  missed(sid: string): void;
}

/** A store that is listened to. */
export interface OpenStore {
  readonly records: Records;
  /** What `bridge.store` is. */
  readonly store: BasicStore | AtomicStore;
  /** Whether the store tells of every end. */
  readonly told: boolean;
  /** Listens no more. */
  readonly leave: () => void;
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
    ? { records: store, store, told: false, leave: () => {} }
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
  return { records, store, told: false, leave: () => {} };
}

function openSessionStore(
  store: SessionStore,
  listener: StoreListener,
): OpenStore {
  const removed = (sid: string, reason: RemovalReason, record: SessionRecord) =>
    listener.removed(sid, REMOVED[reason], record);
  store.on("removed", removed);
  const leave = () => void store.off("removed", removed);
  return { records: store, store, told: true, leave };
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
  return { records, store, told: false, leave };
}

function basicRecords(
  { rolling, maxAge }: ResolvedOptions,
  told: boolean,
  pick: (ctx: unknown) => BasicStore,
): BasicRecords {
  return new BasicRecords(pick, { told, rolling, maxAge });
}
