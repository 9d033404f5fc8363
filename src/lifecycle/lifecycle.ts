/**
 * Reacts to what happened to sessions, on this node and on others: registry,
 * rooms, client events, cluster messages, and the events of the bridge.
 *
 * @module
 */
import type { Server } from "socket.io";
import type { BridgeEvents, EndReason, StartCause } from "../api/events.ts";
import { isAlive, type SessionRecord } from "../api/store.ts";
import { RETRY } from "../base/timers.ts";
import {
  type ExpiryListener,
  type TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import type { StoreListener } from "../stores/open_store.ts";
import type {
  Occasion,
  RotatedSession,
  SessionObserver,
  UserChange,
} from "../transaction/session_observer.ts";
import { type Announcement, Announcements } from "./announcements.ts";
import { ClusterMessenger } from "./cluster_messenger.ts";
import { ClusterSync, type RemoteObserver } from "./cluster_sync.ts";
import type { LifecycleDeps } from "./deps.ts";
import type { Emit } from "./emit.ts";

/** The occasion of what happened on another node. */
export interface NodeOccasion extends Occasion {
  readonly remote?: boolean;
  /** Whether the sockets of a session that ended reconnect. */
  readonly reconnect?: boolean;
}

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
  readonly #announcements = new Announcements((announcement) =>
    this.#announce(announcement, true)
  );

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
    occasion: NodeOccasion = {},
  ): void {
    const { registry, sockets, transactions, userFacts } = this.#deps;
    const { tombstones } = transactions;
    const begins = cause === "created";
    if (begins) tombstones.clear(sid);
    // the record was read before the session ended, or while it is given this id
    else if (tombstones.has(sid) || transactions.isRotating(sid)) return;
    const { clientId } = record;
    if (clientId === undefined) return;
    userFacts.sessionSeen(record.data);
    registry.register(sid, record);
    const client = registry.client(clientId);
    const before = client?.session;
    if (before && before.sid !== sid) {
      if (begins) {
        // its end has not been reported yet
        sockets.onEnd(before, "rotated");
        this.#previous.set(client, before);
      }
      this.#resync(before);
    }
    const session = client ? registry.track(sid) : registry.tracked(sid);
    if (session) {
      if (begins) sockets.onBegin(session, record, occasion);
      else sockets.onFound(session, record);
    }
    if (begins && !occasion.remote) {
      return this.#announcements.add({
        previous: undefined,
        session: session ?? new TrackedSession(sid, record),
        sockets: "follow",
        userChange: occasion.userChange,
      }, this.#deferred(occasion));
    }
    const local = !occasion.remote;
    this.#emit("sessionStart", { clientId, sessionId: sid, cause, local });
    if (occasion.remote && begins && record.user !== undefined) {
      const userChange = { from: undefined, to: record.user };
      this.#emitUserChange(clientId, sid, userChange, "new", false);
    }
  }

  /** @param before `undefined` for a write of another node */
  changed(
    sid: string,
    record: SessionRecord,
    before: SessionRecord | undefined,
    { userChange }: Occasion = {},
  ): void {
    const { registry, views, userFacts } = this.#deps;
    this.#announcements.flush(sid);
    const local = before !== undefined && before.data !== record.data;
    if (local) userFacts.sessionSeen(record.data);
    const session = registry.tracked(sid);
    const remoteChange = session && this.#update(session, record, before);
    if (local) views?.onChange(sid, before, record);
    const { clientId } = session ?? record;
    if (clientId === undefined) return;
    if (local || remoteChange) {
      this.#emit("sessionChange", { clientId, sessionId: sid, local });
    }
    const change = before ? userChange : remoteChange;
    if (change) this.#emitUserChange(clientId, sid, change, "kept", local);
  }

  /** @returns the change of user that another node made */
  #update(
    session: TrackedSession,
    record: SessionRecord,
    before: SessionRecord | undefined,
  ): UserChange | undefined {
    const { registry, sockets } = this.#deps;
    const from = session.user;
    const to = record.user;
    registry.update(session, record);
    if (from === to) return undefined;
    sockets.onUserChange(session, from);
    if (!before) return { from, to };
    this.#cluster.publish({ type: "change", hash: session.hash });
  }

  rebound(
    from: string,
    sid: string,
    record: SessionRecord,
    { remote }: NodeOccasion = {},
  ): void {
    const { registry, sockets } = this.#deps;
    this.#announcements.flush(sid);
    const session = registry.track(sid);
    if (!session || record.clientId === undefined) return;
    session.clientId = record.clientId;
    sockets.onRebind(from, session);
    if (!remote) this.#cluster.publish({ type: "change", hash: session.hash });
  }

  corrected(sid: string, occasion: NodeOccasion): void {
    const { registry, sockets } = this.#deps;
    sockets.onCorrected(sid, occasion);
    const session = registry.tracked(sid);
    if (session && !occasion.remote) {
      this.#cluster.publish({ type: "correct", hash: session.hash });
    }
  }

  /** When this returns, the session's rooms are empty on this node. */
  ended(
    sid: string,
    record: SessionRecord | undefined,
    reason: EndReason,
    occasion: NodeOccasion = {},
  ): void {
    const { registry, sockets, views, transactions } = this.#deps;
    const { tombstones } = transactions;
    const { request, remote } = occasion;
    this.#announcements.flush(sid);
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
    if (!seen) this.#emitRebuilt(session);
    this.endCounts[reason]++;
    const isUserLogout = reason === "logout" && session.user !== undefined;
    const reconnect = occasion.reconnect ??
      (transactions.reconnects && isUserLogout && request !== undefined);
    sockets.onEnd(session, reason, reconnect ? occasion : undefined);
    this.#reinstate(session.clientId);
    const { clientId, hash } = session;
    // each node times expiry by itself
    if (!remote && reason !== "expired") {
      this.#cluster.publish({ type: "end", hash, reason, reconnect });
    }
    const local = !remote;
    this.#emit("sessionEnd", { clientId, sessionId: sid, reason, local });
    if (isUserLogout) {
      const userChange = { from: session.user, to: undefined };
      this.#emitUserChange(clientId, sid, userChange, "new", local);
    }
  }

  rotated(rotation: RotatedSession, { remote }: NodeOccasion = {}): void {
    const { registry, sockets, views, transactions } = this.#deps;
    const { from, to, record, before, sockets: how } = rotation;
    transactions.tombstones.add(from);
    transactions.tombstones.clear(to);
    const removed = registry.remove(from);
    const old = removed.session ??
      (before?.clientId === undefined
        ? undefined
        : new TrackedSession(from, before));
    if (old && !removed.seen && !this.#announcements.isWaiting(from)) {
      this.#emitRebuilt(old);
    }
    const seen = registry.isSeen(to);
    if (!seen && record.clientId !== undefined) registry.register(to, record);
    if (!old || record.clientId === undefined) return;
    const client = registry.client(old.clientId);
    const session = (client ? registry.track(to) : registry.tracked(to)) ??
      new TrackedSession(to, record);
    const userChange = remote ? changed(old, record) : rotation.userChange;
    sockets.onRotate(old, session, how, { ...rotation, userChange });
    if (how === "follow") views?.onRotate(old, session, before, record);
    else views?.onLeave(old);
    if (remote && seen) {
      return this.#announceEnd(old, userChange, false);
    }
    const announcement = {
      previous: old,
      session,
      sockets: how,
      userChange,
    };
    if (remote) this.#announce(announcement, false);
    else this.#announcements.add(announcement, this.#deferred(rotation));
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

  /** The request whose end an announcement waits for: only where the user decides about ids. */
  #deferred({ request }: Occasion): Occasion["request"] {
    return this.#deps.transactions.rotatesUsers ? request : undefined;
  }

  #announce(announcement: Announcement, local: boolean): void {
    const { previous, session, sockets, userChange } = announcement;
    const { clientId, hash, sid: sessionId } = session;
    if (!previous) {
      if (local) this.#cluster.publish({ type: "start", hash });
      const cause = "created";
      this.#emit("sessionStart", { clientId, sessionId, cause, local });
    } else {
      if (local) {
        const message = { hash: previous.hash, to: hash, sockets };
        this.#cluster.publish({ type: "rotate", ...message });
      }
      this.#announceEnd(previous, userChange, local);
      const cause = "rotated";
      this.#emit("sessionStart", { clientId, sessionId, cause, local });
    }
    if (!userChange) return;
    const change = userChange;
    this.#emitUserChange(
      clientId,
      sessionId,
      change,
      "new",
      local,
      previous?.sid,
    );
  }

  /** Reports the start of a session that is new to this process, before its end. */
  #emitRebuilt({ clientId, sid: sessionId }: TrackedSession): void {
    const cause = "rebuilt";
    this.#emit("sessionStart", { clientId, sessionId, cause, local: true });
  }

  /** Reports the end of a session's former id. */
  #announceEnd(
    { clientId, sid: sessionId }: TrackedSession,
    userChange: UserChange | undefined,
    local: boolean,
  ): void {
    const reason = userChange?.from === undefined ? "rotated" : "logout";
    this.endCounts[reason]++;
    this.#emit("sessionEnd", { clientId, sessionId, reason, local });
  }

  #emitUserChange(
    clientId: string,
    sessionId: string,
    { from, to }: UserChange,
    ids: "new" | "kept",
    local: boolean,
    previousSessionId?: string,
  ): void {
    this.#deps.userFacts.userChanged(clientId);
    this.#emit("userChange", {
      sessionId,
      clientId,
      ...previousSessionId === undefined ? {} : { previousSessionId },
      from,
      to,
      ids,
      local,
    });
  }

  /** Of two sessions created at once for a client, the one that was left stands. */
  #reinstate(clientId: string): void {
    const { registry, sockets } = this.#deps;
    const client = registry.client(clientId);
    const before = client && this.#previous.get(client);
    if (!before || client.session) return;
    if (registry.tracked(before.sid) === before) {
      sockets.onBegin(before, undefined);
    }
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

/** The change of user between a session and its record on another node. */
function changed(
  { user: from }: TrackedSession,
  { user: to }: SessionRecord,
): UserChange | undefined {
  return from === to ? undefined : { from, to };
}
