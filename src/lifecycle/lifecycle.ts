/**
 * Reacts to what happened to sessions, on this node and on others: registry,
 * rooms, client events, cluster messages, and the events of the bridge.
 *
 * @module
 */
import type { Server } from "socket.io";
import type { BridgeEvents, EndReason, StartCause } from "../api/events.ts";
import { isAlive, type SessionRecord } from "../api/store.ts";
import { hashId } from "../base/ids.ts";
import { RETRY } from "../base/timers.ts";
import {
  type ExpiryListener,
  type TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import type { StoreListener } from "../stores/open_store.ts";
import type {
  SessionObserver,
  SocketRotation,
} from "../transaction/session_observer.ts";
import { ClusterMessenger } from "./cluster_messenger.ts";
import { ClusterSync, type RemoteObserver } from "./cluster_sync.ts";
import type { LifecycleDeps } from "./deps.ts";
import type { Emit } from "./emit.ts";

/** The one observer of transactions, of the store and of the cluster. */
export class SessionLifecycle
  implements SessionObserver, RemoteObserver, StoreListener, ExpiryListener {
  /** Sessions that ended, by reason. */
  readonly endCounts: Record<EndReason, number> = {
    logout: 0,
    revoked: 0,
    expired: 0,
    replaced: 0,
    displaced: 0,
    rotated: 0,
    evicted: 0,
  };
  readonly sync: ClusterSync;
  readonly #emit: Emit;
  readonly #failed: (error: unknown) => void;
  #deps!: LifecycleDeps;
  /** The session that a client's sockets were in before its latest one. */
  readonly #previous = new WeakMap<TrackedClient, TrackedSession>();
  readonly #cluster: ClusterMessenger;

  constructor(io: Server, emit: Emit, failed: (error: unknown) => void) {
    this.#emit = emit;
    this.#failed = failed;
    this.sync = new ClusterSync(this);
    this.#cluster = new ClusterMessenger(io, this.sync, failed);
  }

  /** Connects the lifecycle with its collaborators; called once, before the first event. */
  attach(deps: LifecycleDeps): void {
    this.#deps = deps;
    this.sync.attach(deps);
  }

  close(): void {
    this.#cluster.close();
  }

  started(
    sid: string,
    record: SessionRecord,
    cause: StartCause,
    local = true,
  ): void {
    const { registry, sockets, transactions } = this.#deps;
    const { tombstones } = transactions;
    if (cause === "created") tombstones.clear(sid);
    // the record was read before the session ended
    else if (tombstones.has(sid)) return;
    const { clientId } = record;
    if (clientId === undefined) return;
    registry.register(sid, record);
    const client = registry.client(clientId);
    const before = client?.session;
    if (before) {
      // its end has not been reported yet
      sockets.onEnd(before, "rotated");
      this.#previous.set(client, before);
      this.#resync(before);
    }
    const session = client ? registry.track(sid) : registry.tracked(sid);
    if (session) sockets.onStart(session, record);
    if (local && cause === "created") {
      this.#cluster.publish({ type: "start", hash: hashId(sid) });
    }
    this.#emit("sessionStart", { clientId, sessionId: sid, cause, local });
  }

  /** @param before `undefined` for a write of another node */
  changed(
    sid: string,
    record: SessionRecord,
    before: SessionRecord | undefined,
  ): void {
    const { registry, views } = this.#deps;
    const local = before !== undefined && before.data !== record.data;
    const session = registry.tracked(sid);
    const userChanged = session !== undefined &&
      this.#update(session, record, before !== undefined);
    if (local) views?.onChange(sid, before, record);
    const { clientId } = session ?? record;
    if (clientId === undefined || !(local || !before && userChanged)) return;
    this.#emit("sessionChange", { clientId, sessionId: sid, local });
  }

  /** @returns whether the session belongs to another user now */
  #update(
    session: TrackedSession,
    record: SessionRecord,
    local: boolean,
  ): boolean {
    const { registry, sockets } = this.#deps;
    const before = session.user;
    registry.update(session, record);
    if (before === record.user) return false;
    sockets.onUserChange(session, before);
    if (local) this.#cluster.publish({ type: "change", hash: session.hash });
    return true;
  }

  rebound(
    from: string,
    sid: string,
    record: SessionRecord,
    local = true,
  ): void {
    const { registry, sockets } = this.#deps;
    const session = registry.track(sid);
    if (!session || record.clientId === undefined) return;
    session.clientId = record.clientId;
    sockets.onRebind(from, session, record);
    if (local) this.#cluster.publish({ type: "change", hash: session.hash });
  }

  /** When this returns, the session's rooms are empty on this node. */
  ended(
    sid: string,
    record: SessionRecord | undefined,
    reason: EndReason,
    local = true,
  ): void {
    const { registry, sockets, views, transactions } = this.#deps;
    const { tombstones } = transactions;
    const reported = tombstones.has(sid);
    tombstones.add(sid);
    const removed = registry.remove(sid);
    if (removed.session) views?.onLeave(removed.session);
    const seen = removed.session !== undefined || (removed.seen && !reported);
    const session = removed.session ??
      (record?.clientId === undefined
        ? undefined
        : new TrackedSession(sid, record));
    if (!session || (!seen && (reported || reason === "expired"))) return;
    this.endCounts[reason]++;
    sockets.onEnd(session, reason);
    this.#reinstate(session.clientId);
    // expiry needs no message: every node has timers of its own
    if (local && reason !== "expired") {
      this.#cluster.publish({ type: "end", hash: session.hash, reason });
    }
    const { clientId } = session;
    this.#emit("sessionEnd", { clientId, sessionId: sid, reason, local });
  }

  /** @param before `undefined` for a rotation on another node */
  rotated(
    from: string,
    to: string,
    record: SessionRecord,
    before: SessionRecord | undefined,
    how: SocketRotation,
    local = true,
  ): void {
    const { registry, sockets, views, transactions } = this.#deps;
    transactions.tombstones.add(from);
    transactions.tombstones.clear(to);
    const old = registry.remove(from).session ??
      (before?.clientId === undefined
        ? undefined
        : new TrackedSession(from, before));
    const seen = registry.isSeen(to);
    if (!seen && record.clientId !== undefined) registry.register(to, record);
    if (!old || record.clientId === undefined) return;
    const hasSockets = registry.client(old.clientId)?.session === old;
    const session = (hasSockets ? registry.track(to) : registry.tracked(to)) ??
      new TrackedSession(to, record);
    sockets.onRotate(old, session, how);
    if (how === "follow") views?.onRotate(old, session, before, record);
    else views?.onLeave(old);
    this.endCounts.rotated++;
    if (local) {
      this.#cluster.publish({
        type: "rotate",
        hash: old.hash,
        to: session.hash,
        sockets: how,
      });
    }
    this.#emit("sessionEnd", {
      clientId: old.clientId,
      sessionId: from,
      reason: "rotated",
      local,
    });
    if (seen) return;
    this.#emit("sessionStart", {
      clientId: session.clientId,
      sessionId: to,
      cause: "rotated",
      local,
    });
  }

  /** The store removed a session without a call of the bridge. */
  removed(sid: string, reason: EndReason, record?: SessionRecord): void {
    const { transactions } = this.#deps;
    // a termination in progress reports its own end, except that the session had expired
    if (reason !== "expired" && transactions.isEnding(sid)) return;
    transactions.revoke(sid, reason);
    this.ended(sid, record, reason);
  }

  missed(sid: string): void {
    const { registry, transactions } = this.#deps;
    const session = registry.tracked(sid);
    if (!session) return;
    if (session.expires <= Date.now()) return this.removed(sid, "expired");
    // a store that answers at once is this process's own: no other node rotated the session
    const to = transactions.lookup.movedTo(sid);
    if (!(to instanceof Promise)) return this.removed(sid, "revoked");
    to.catch(() => {});
    this.#resync(session);
  }

  conflict(event: BridgeEvents["sessionConflict"][0]): void {
    this.#emit("sessionConflict", event);
  }

  /** A tracked session's end has passed; the store decides whether it lives on. */
  expiryDue(session: TrackedSession): void {
    this.#expire(session).catch((error) => {
      const { registry } = this.#deps;
      registry.rescheduleExpiry(session, Date.now() + RETRY);
      this.#failed(error);
    });
  }

  async #expire(session: TrackedSession): Promise<void> {
    const { registry, transactions } = this.#deps;
    const { sid } = session;
    const ctx = this.#contextFor(session);
    if (transactions.needsContext && !ctx) return this.removed(sid, "expired");
    const record = await transactions.lookup.find(sid, ctx);
    if (isAlive(record)) {
      return registry.rescheduleExpiry(session, record.expires);
    }
    if (registry.tracked(sid) !== session) return;
    await transactions.end(sid, "expired", {
      ...record ? { record } : {},
      ...ctx ? { ctx } : {},
    });
    if (registry.tracked(sid) === session) {
      this.removed(sid, "expired", record);
    }
  }

  /** Of two sessions created at once for a client, the one that was left stands. */
  #reinstate(clientId: string): void {
    const { registry, sockets } = this.#deps;
    const client = registry.client(clientId);
    const before = client && this.#previous.get(client);
    if (!before || client.session) return;
    if (registry.tracked(before.sid) === before) sockets.onStart(before);
  }

  /** The Koa context of a socket's handshake, for a store that needs one. */
  #contextFor({ clientId }: TrackedSession): object | undefined {
    const { registry, transactions } = this.#deps;
    if (!transactions.needsContext) return undefined;
    const [socket] = registry.client(clientId)?.sockets ?? [];
    return (socket as { readonly ctx?: object } | undefined)?.ctx;
  }

  #resync(session: TrackedSession): void {
    this.sync.resync(session).catch(this.#failed);
  }
}
