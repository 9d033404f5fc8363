/**
 * Reacts to what happened to sessions, on this node and on others: registry,
 * rooms, client events, cluster messages, and the events of the bridge.
 *
 * @module
 */
import type { Server } from "socket.io";
import type { BridgeEvents, EndReason, StartCause } from "../api/events.ts";
import type { SessionRecord } from "../api/store.ts";
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
import { Announcements, changed, endOf } from "./announcements.ts";
import { Announcer } from "./announcer.ts";
import { SessionEvents } from "./bridge_events.ts";
import { ClusterMessenger } from "./cluster_messenger.ts";
import {
  ClusterSync,
  type Quiet,
  type RemoteObserver,
} from "./cluster_sync.ts";
import type { LifecycleDeps, NodeOccasion } from "./deps.ts";
import type { Emit } from "./emit.ts";
import { SessionExpiry } from "./expiry.ts";

/** The one observer of transactions, of the store and of the cluster. */
export class SessionLifecycle
  implements SessionObserver, RemoteObserver, StoreListener, ExpiryListener {
  readonly sync: ClusterSync;
  readonly events: SessionEvents;
  readonly #failed: (error: unknown) => void;
  #deps!: LifecycleDeps;
  /** The session that a client's sockets were in before its latest one. */
  readonly #previous = new WeakMap<TrackedClient, TrackedSession>();
  readonly #cluster: ClusterMessenger;
  readonly #expiry: SessionExpiry;
  readonly #announcer: Announcer;
  readonly #announcements = new Announcements((announcement) =>
    this.#announcer.announce(announcement, true)
  );

  constructor(io: Server, emit: Emit, failed: (error: unknown) => void) {
    this.events = new SessionEvents(emit);
    this.#failed = failed;
    this.sync = new ClusterSync(this);
    this.#expiry = new SessionExpiry(this, failed);
    this.#cluster = new ClusterMessenger(io, this.sync, failed);
    this.#announcer = new Announcer(
      this.#cluster,
      this.events,
      (clientId) => this.#deps.userFacts.userChanged(clientId),
    );
  }

  /** Connects the lifecycle with its collaborators; called once, before the first event. */
  attach(deps: LifecycleDeps): void {
    this.#deps = deps;
    this.sync.attach(deps);
    this.#expiry.attach(deps);
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
    if (begins && !occasion.remote) tombstones.clear(sid);
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
        sockets.onEnd(before, "replaced");
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
        isReported: false,
        sockets: "follow",
        userChange: occasion.userChange,
      }, this.#deferred(occasion));
    }
    const local = !occasion.remote;
    this.events.start({ clientId, sid }, cause, local);
    if (occasion.remote && begins && record.user !== undefined) {
      const userChange = { from: undefined, to: record.user };
      this.#announcer.reportUser(
        { clientId, sid },
        userChange,
        { ids: "new" },
        false,
      );
    }
  }

  /** Another node has begun a session that a look-up of this one found first. */
  begun(session: TrackedSession): void {
    this.#deps.sockets.onBegin(session, undefined);
  }

  /** @param before `undefined` for a write of another node */
  changed(
    sid: string,
    record: SessionRecord,
    before: SessionRecord | undefined,
    { userChange, quiet }: Occasion & Partial<Quiet> = {},
  ): void {
    const { registry, views, userFacts } = this.#deps;
    this.#announcements.flush(sid);
    const local = before !== undefined && before.data !== record.data;
    if (local) userFacts.sessionSeen(record.data);
    const session = registry.tracked(sid);
    const found = session && this.#update(session, record, before);
    const remoteChange = quiet ? undefined : found;
    if (local) views?.onChange(sid, before, record);
    const { clientId } = session ?? record;
    if (clientId === undefined) return;
    if (local || remoteChange) {
      this.events.change({ clientId, sid }, local);
    }
    const change = before ? userChange : remoteChange;
    if (change) {
      this.#announcer.reportUser(
        { clientId, sid },
        change,
        { ids: "kept" },
        local,
      );
    }
  }

  /** @returns the change of user that another node made */
  #update(
    session: TrackedSession,
    record: SessionRecord,
    before: SessionRecord | undefined,
  ): UserChange | undefined {
    const { registry, sockets, shared } = this.#deps;
    const from = session.user;
    const to = record.user;
    if (before && !hasFacts(session, record)) {
      // the answer to the write may come after that to a later one: the store decides
      const isLatest = hasFacts(session, before);
      if (shared || !isLatest) this.#resync(session, { quiet: !isLatest });
      if (before.user !== to) {
        this.#cluster.publish({ type: "change", hash: session.hash });
      }
      if (!isLatest) return undefined;
    }
    registry.update(session, record);
    if (from === to) return undefined;
    sockets.onUserChange(session, from);
    return before ? undefined : { from, to };
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
    if (!seen) this.events.start(session, "rebuilt", true);
    const isUserLogout = reason === "logout" && session.user !== undefined;
    const reconnect = occasion.reconnect ??
      (transactions.reconnects && isUserLogout && request !== undefined);
    sockets.onEnd(session, reason, reconnect ? occasion : undefined);
    this.#reinstate(session.clientId);
    const { hash } = session;
    // each node times expiry by itself
    if (!remote && reason !== "expired") {
      this.#cluster.publish({ type: "end", hash, reason, reconnect });
    }
    const local = !remote;
    this.events.end(session, reason, local);
    if (isUserLogout) {
      const userChange = { from: session.user, to: undefined };
      this.#announcer.reportUser(session, userChange, { ids: "new" }, local);
    }
  }

  gone(sid: string, reason: EndReason, occasion: Occasion): void {
    const session = this.#deps.registry.tracked(sid);
    if (!session) return;
    const why = session.expires <= Date.now() ? "expired" : reason;
    this.ended(sid, undefined, why, occasion);
  }

  unsettled(sid: string): void {
    const session = this.#deps.registry.tracked(sid);
    // the error of the end has been told
    if (session) this.sync.resync(session).catch(() => {});
  }

  rotated(rotation: RotatedSession, { remote }: NodeOccasion = {}): void {
    const { registry, sockets, views, transactions } = this.#deps;
    const { from, to, record, before, sockets: how } = rotation;
    // a start that waits for the end of its request comes before the end
    if (remote) this.#announcements.flush(from);
    if (!remote && transactions.tombstones.has(to)) {
      // it was found under its new id, and ended, before its move was reported here
      return this.ended(from, before, "revoked", rotation);
    }
    transactions.tombstones.add(from);
    transactions.tombstones.clear(to);
    const removed = registry.remove(from);
    const old = removed.session ??
      (before?.clientId === undefined
        ? undefined
        : new TrackedSession(from, before));
    if (old && !removed.seen && !this.#announcements.isWaiting(from)) {
      this.events.start(old, "rebuilt", true);
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
      return this.events.end(old, endOf(userChange), false);
    }
    const announcement = {
      previous: old,
      session,
      isReported: seen,
      sockets: how,
      userChange,
    };
    if (remote) this.#announcer.announce(announcement, false);
    else this.#announcements.add(announcement, this.#deferred(rotation));
  }

  /** The store removed a session without a call of the bridge. */
  removed(sid: string, reason: EndReason, record?: SessionRecord): void {
    const { transactions } = this.#deps;
    // a rotation in progress reports its own end, and so does a termination, except that the session had expired
    if (transactions.isRotating(sid)) return;
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
    this.events.conflict(event);
  }

  expiryDue(session: TrackedSession): void {
    this.#expiry.due(session);
  }

  /** The request whose end an announcement waits for: only where the user decides about ids. */
  #deferred({ request }: Occasion): Occasion["request"] {
    return this.#deps.transactions.rotatesUsers ? request : undefined;
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

  #resync(session: TrackedSession, how?: Quiet): void {
    this.sync.resync(session, how).catch(this.#failed);
  }
}

/** Whether a session is known with what a record says of its user and its life. */
function hasFacts(session: TrackedSession, record: SessionRecord): boolean {
  return session.user === record.user && session.maxAge === record.maxAge;
}
