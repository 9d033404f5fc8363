/**
 * What follows from what passed through the door, here or on another node: who
 * is known, which sockets are in which session, who is told.
 *
 * @module
 */
import type { SessionRegistry, TrackedClient } from "../identity/registry.ts";
import { TrackedSession } from "../identity/registry.ts";
import { ClusterMessenger } from "./cluster_messenger.ts";
import { ClusterSync } from "./cluster_sync.ts";
import type { BridgeEvents, EndReason, StartCause } from "../api/events.ts";
import type { ViewPublisher } from "../sockets/view_publisher.ts";
import { hashId } from "../base/ids.ts";
import type { SocketSessions } from "../sockets/sockets.ts";
import { isAlive, type SessionRecord } from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { Server, Socket } from "socket.io";

/** What the lifecycle needs of the others; they are made after it. */
export interface LifecycleDeps {
  readonly transactions: Transactions;
  readonly clients: SessionRegistry<Socket>;
  readonly sockets: SocketSessions;
  /** There only where an option asks for it. */
  readonly feed: ViewPublisher | undefined;
  /** Finds the live session whose id has this hash, where the store can tell. */
  readonly byHash: (hash: string) => Promise<string | undefined>;
}

/** Emits an event of the bridge. */
export type Emit = <K extends keyof BridgeEvents>(
  event: K,
  ...args: BridgeEvents[K]
) => unknown;

/**
 * A listener that throws stops nobody: what it was told of is finished first,
 * and then its error goes to the event `error`. Where nobody listens to that
 * one either, it is an uncaught exception, as from any emitter.
 */
export function isolated(emit: Emit): Emit {
  return (event, ...args) => {
    try {
      return emit(event, ...args);
    } catch (thrown) {
      queueMicrotask(() => {
        emit(
          "error",
          thrown instanceof Error ? thrown : new Error(String(thrown)),
        );
      });
    }
  };
}

/** See the module's text. */
export class SessionLifecycle {
  /** Sessions that ended, by reason. */
  readonly endCounts: Record<EndReason, number> = {
    logout: 0,
    revoked: 0,
    expired: 0,
    replaced: 0,
    rotated: 0,
    evicted: 0,
  };
  readonly #emit: Emit;
  readonly #failed: (error: unknown) => void;
  readonly #parts: () => LifecycleDeps;
  readonly #elsewhere: ClusterSync;
  /** The session that a client's sockets were in before they were put into another. */
  readonly #ousted = new WeakMap<TrackedClient<Socket>, TrackedSession>();
  readonly #cluster: ClusterMessenger;

  constructor(
    io: Server,
    emit: Emit,
    failed: (error: unknown) => void,
    parts: () => LifecycleDeps,
  ) {
    this.#emit = emit;
    this.#failed = failed;
    this.#parts = parts;
    this.#elsewhere = new ClusterSync(this, parts);
    this.#cluster = new ClusterMessenger(
      io,
      (message) => this.#elsewhere.onMessage(message),
      failed,
    );
  }

  close(): void {
    this.#cluster.close();
  }

  /** A session began, or was met for the first time. */
  started(
    sid: string,
    record: SessionRecord,
    cause: StartCause,
    local = true,
  ): void {
    const { clients, sockets, transactions } = this.#parts();
    const { tombstones: graves } = transactions.door;
    if (cause === "created") graves.clear(sid);
    // somebody had read it before it ended
    else if (graves.has(sid)) return;
    const { clientId } = record;
    if (clientId === undefined) return;
    clients.register(sid, record);
    const client = clients.client(clientId);
    const before = client?.session;
    if (before) {
      // nobody has told yet of what became of the one they are in
      sockets.onEnd(before, "rotated");
      this.#ousted.set(client, before);
      this.#look(before);
    }
    const known = client ? clients.track(sid) : clients.tracked(sid);
    if (known) sockets.onStart(known, record);
    if (local && cause === "created") {
      this.#cluster.publish({ type: "start", hash: hashId(sid) });
    }
    this.#emit("sessionStart", { clientId, sessionId: sid, cause, local });
  }

  /** What is known of a live session, which may be met for the first time. */
  track(sid: string, record: SessionRecord): TrackedSession | undefined {
    const { clients } = this.#parts();
    if (!clients.isSeen(sid)) this.started(sid, record, "rebuilt");
    return clients.track(sid);
  }

  /**
   * A session was written: it may belong to somebody else now.
   *
   * @param before what was stored; `undefined` for a write of another process
   */
  written(
    sid: string,
    record: SessionRecord,
    before: SessionRecord | undefined,
  ): void {
    const { clients, feed } = this.#parts();
    const changed = before !== undefined && before.data !== record.data;
    const known = clients.tracked(sid);
    const moved = known !== undefined && this.#updated(known, record, !before);
    if (changed) feed?.onChange(sid, before, record);
    const { clientId } = known ?? record;
    if (clientId === undefined || !(changed || !before && moved)) return;
    this.#emit("sessionChange", { clientId, sessionId: sid, local: changed });
  }

  /** @returns whether it belongs to somebody else now */
  #updated(
    known: TrackedSession,
    record: SessionRecord,
    elsewhere: boolean,
  ): boolean {
    const { clients, sockets } = this.#parts();
    const before = known.user;
    clients.update(known, record);
    if (before === record.user) return false;
    sockets.onUserChange(known, before);
    if (!elsewhere) this.#cluster.publish({ type: "change", hash: known.hash });
    return true;
  }

  /** A session was settled on another client than it was bound to. */
  rebound(
    from: string,
    sid: string,
    record: SessionRecord,
    local = true,
  ): void {
    const { clients, sockets } = this.#parts();
    const known = clients.track(sid);
    if (!known || record.clientId === undefined) return;
    known.clientId = record.clientId;
    sockets.onRebind(from, known, record);
    if (local) this.#cluster.publish({ type: "change", hash: known.hash });
  }

  /** A session ended. When this returns, its rooms are empty on this node. */
  ended(
    sid: string,
    record: SessionRecord | undefined,
    reason: EndReason,
    local = true,
  ): void {
    const { clients, sockets, feed, transactions } = this.#parts();
    const { tombstones: graves } = transactions.door;
    const told = graves.has(sid);
    graves.add(sid);
    const before = clients.remove(sid);
    if (before.known) feed?.onLeave(before.known);
    const met = before.known !== undefined || (before.met && !told);
    const known = before.known ??
      (record?.clientId === undefined
        ? undefined
        : new TrackedSession(sid, record));
    // an end, or an expiry, that was seen before was told of before
    if (!known || (!met && (told || reason === "expired"))) return;
    this.endCounts[reason]++;
    sockets.onEnd(known, reason);
    this.#reinstate(known.clientId);
    // each node times expiries by itself
    if (local && reason !== "expired") {
      this.#cluster.publish({ type: "end", hash: known.hash, reason });
    }
    const { clientId } = known;
    this.#emit("sessionEnd", { clientId, sessionId: sid, reason, local });
  }

  /** A session goes on under a new id. */
  rotated(
    from: string,
    to: string,
    record: SessionRecord,
    before: SessionRecord | undefined,
    how: "follow" | "leave",
    local = true,
  ): void {
    const { clients, sockets, feed, transactions } = this.#parts();
    const { tombstones: graves } = transactions.door;
    graves.add(from);
    graves.clear(to);
    const old = clients.remove(from).known ??
      (before?.clientId === undefined
        ? undefined
        : new TrackedSession(from, before));
    const met = clients.isSeen(to);
    if (!met && record.clientId !== undefined) clients.register(to, record);
    if (!old || record.clientId === undefined) return;
    const followed = clients.client(old.clientId)?.session === old;
    const known = (followed ? clients.track(to) : clients.tracked(to)) ??
      new TrackedSession(to, record);
    sockets.onRotate(old, known, how);
    if (how === "follow") feed?.onRotate(old, known, before, record);
    else feed?.onLeave(old);
    this.endCounts.rotated++;
    if (local) {
      const { hash } = old;
      this.#cluster.publish({
        type: "rotate",
        hash,
        to: known.hash,
        sockets: how,
      });
    }
    const { clientId } = old;
    this.#emit("sessionEnd", {
      clientId,
      sessionId: from,
      reason: "rotated",
      local,
    });
    if (met) return;
    this.#emit("sessionStart", {
      clientId: known.clientId,
      sessionId: to,
      cause: "rotated",
      local,
    });
  }

  /** The store removed a session by itself, or was asked to behind our back. */
  removed(sid: string, reason: EndReason, record?: SessionRecord): void {
    const { transactions } = this.#parts();
    // who ends a session tells of it; but that it had expired only the store knows
    if (reason !== "expired" && transactions.isEnding(sid)) return;
    transactions.door.revoke(sid, reason);
    this.ended(sid, record, reason);
  }

  /** A session that was taken for alive is not in the store any more. */
  missed(sid: string): void {
    const { clients, transactions } = this.#parts();
    const known = clients.tracked(sid);
    if (!known) return;
    if (known.expires <= Date.now()) return this.removed(sid, "expired");
    // where that is known at once, nobody else can have had a hand in it
    const to = transactions.lookup.movedTo(sid);
    if (!(to instanceof Promise)) return this.removed(sid, "revoked");
    to.catch(() => {});
    this.#look(known);
  }

  /** The time of a session is over as far as is known here; the store has the last word. */
  async expiryDue(known: TrackedSession): Promise<void> {
    const { clients, transactions } = this.#parts();
    const ctx = this.#contextFor(known);
    if (transactions.door.needsContext && !ctx) {
      return this.removed(known.sid, "expired");
    }
    try {
      const record = await transactions.lookup.find(known.sid, ctx);
      if (isAlive(record)) clients.rescheduleExpiry(known, record.expires);
      else if (clients.tracked(known.sid) === known) {
        await transactions.end(known.sid, "expired", {
          ...record ? { record } : {},
          ...ctx ? { ctx } : {},
        });
        if (clients.tracked(known.sid) === known) {
          this.removed(known.sid, "expired", record);
        }
      }
    } catch (error) {
      clients.rescheduleExpiry(known, Date.now() + 1_000);
      this.#failed(error);
    }
  }

  /** The store shows nothing of a session that is followed here, or another version of it. */
  resync(known: TrackedSession): Promise<void> {
    return this.#elsewhere.resync(known);
  }

  /** A client with sockets and without a session may have begun one elsewhere. */
  resyncClient(client: TrackedClient<Socket>): Promise<void> {
    return this.#elsewhere.resyncClient(client);
  }

  /** Of two sessions that were begun for a client at once, the other one stands. */
  #reinstate(clientId: string): void {
    const { clients, sockets } = this.#parts();
    const client = clients.client(clientId);
    const before = client && this.#ousted.get(client);
    if (!before || client.session) return;
    if (clients.tracked(before.sid) === before) sockets.onStart(before);
  }

  /** A store that needs a Koa context is reached with that of a socket, if there is one. */
  #contextFor({ clientId }: TrackedSession): object | undefined {
    const { clients, transactions } = this.#parts();
    if (!transactions.door.needsContext) return undefined;
    const [socket] = clients.client(clientId)?.sockets ?? [];
    return (socket as { readonly ctx?: object } | undefined)?.ctx;
  }

  #look(known: TrackedSession): void {
    this.#elsewhere.resync(known).catch(this.#failed);
  }
}
