/**
 * Applies changes made on other nodes. A message names the session; where one
 * was lost, the reconciliation finds the change. In both cases the store is
 * read, and decides.
 *
 * @module
 */
import type { EndReason, StartCause } from "../api/events.ts";
import { isAlive, type StoredRecord } from "../api/store.ts";
import type { TrackedClient, TrackedSession } from "../identity/registry.ts";
import type { Found } from "../transaction/lookup.ts";
import type { SocketRotation } from "../transaction/session_observer.ts";
import type { ClusterMessage } from "./cluster_messenger.ts";
import type { LifecycleDeps } from "./deps.ts";

/** Limit of rotations that are followed to find a session. */
const MAX_MOVES = 20;

/** Limit of reads while a termination of this process is in progress. */
const MAX_WAITS = 20;

/** Receives what happened on other nodes. */
export interface RemoteObserver {
  /** @param local left out for a session that was only unknown here */
  started(
    sid: string,
    record: StoredRecord,
    cause: StartCause,
    local?: false,
  ): void;
  changed(sid: string, record: StoredRecord, before: undefined): void;
  rebound(
    from: string,
    sid: string,
    record: StoredRecord,
    local: false,
  ): void;
  ended(sid: string, record: undefined, reason: EndReason, local: false): void;
  rotated(
    from: string,
    to: string,
    record: StoredRecord,
    before: undefined,
    how: SocketRotation,
    local: false,
  ): void;
}

/** Brings this node in step with the store. */
export class ClusterSync {
  readonly #lifecycle: RemoteObserver;
  readonly #running = new Map<TrackedSession, Promise<void>>();
  #deps!: LifecycleDeps;

  constructor(lifecycle: RemoteObserver) {
    this.#lifecycle = lifecycle;
  }

  /** Connects it with its collaborators; called once, before the first message. */
  attach(deps: LifecycleDeps): void {
    this.#deps = deps;
  }

  /** Applies a message of another node. */
  async onMessage(message: ClusterMessage): Promise<void> {
    const session = this.#deps.registry.byHash(message.hash);
    switch (message.type) {
      case "start":
        return session
          ? undefined
          : await this.#discover(message.hash, "created");
      case "change":
        return session
          ? await this.resync(session)
          : await this.#discover(message.hash, "rebuilt");
      case "end":
        return session
          ? await this.#confirmEnd(session, message.reason)
          : undefined;
      case "rotate":
        return await this.#rotated(session, message.to, message.sockets);
    }
  }

  /** Reads a tracked session again, and applies its change, rotation or end. */
  resync(session: TrackedSession): Promise<void> {
    const running = this.#running.get(session);
    if (running) return running;
    const resync = this.#resync(session)
      .finally(() => this.#running.delete(session));
    this.#running.set(session, resync);
    return resync;
  }

  /** Looks up the session of a client that has sockets and no session here. */
  async resyncClient(client: TrackedClient): Promise<void> {
    const { registry, transactions, sockets } = this.#deps;
    const own = await transactions.lookup.ofClient(client.id);
    if (!own || client.session || registry.client(client.id) !== client) {
      return;
    }
    const session = registry.isSeen(own.sid) && registry.track(own.sid);
    if (session) sockets.onStart(session);
    else this.#lifecycle.started(own.sid, own.record, "rebuilt");
  }

  async #resync(session: TrackedSession): Promise<void> {
    const { registry, transactions } = this.#deps;
    const { sid } = session;
    const record = await this.#read(session);
    if (registry.tracked(sid) !== session) return;
    if (isAlive(record)) return this.#apply(session, record);
    const moved = await this.#findMoved(sid);
    if (registry.tracked(sid) !== session) return;
    if (moved) {
      const { sid: now, record } = moved;
      const how = record.clientId === session.clientId ? "follow" : "leave";
      this.#lifecycle.rotated(sid, now, record, undefined, how, false);
      return;
    }
    const reason = session.expires <= Date.now() ? "expired" : "revoked";
    transactions.revoke(sid, reason);
    this.#lifecycle.ended(sid, undefined, reason, false);
    const client = registry.client(session.clientId);
    if (client) await this.resyncClient(client);
  }

  /** Reads a record; waits for a termination or rotation in progress here. */
  async #read(session: TrackedSession): Promise<StoredRecord | undefined> {
    const { registry, transactions } = this.#deps;
    let record = await transactions.lookup.readSilently(session.sid);
    for (
      let waits = 0;
      waits < MAX_WAITS && transactions.isEnding(session.sid) &&
      registry.tracked(session.sid) === session;
      waits++
    ) record = await transactions.lookup.readSilently(session.sid);
    return record;
  }

  /** The session under its current id, after any number of rotations. */
  async #findMoved(sid: string): Promise<Found | undefined> {
    const { lookup } = this.#deps.transactions;
    for (let moves = 0; moves < MAX_MOVES; moves++) {
      const to = await lookup.movedTo(sid);
      if (to === undefined) return undefined;
      const record = await lookup.readSilently(to);
      if (isAlive(record)) return { sid: to, record };
      sid = to;
    }
    return undefined;
  }

  #apply(session: TrackedSession, record: StoredRecord): void {
    const before = session.clientId;
    this.#lifecycle.changed(session.sid, record, undefined);
    if (record.clientId !== before) {
      this.#lifecycle.rebound(before, session.sid, record, false);
    }
  }

  async #find(hash: string): Promise<Found | undefined> {
    const { lookup } = this.#deps.transactions;
    const sid = await lookup.byHash(hash);
    if (sid === undefined) return undefined;
    const record = await lookup.readSilently(sid);
    return isAlive(record) ? { sid, record } : undefined;
  }

  async #discover(hash: string, cause: StartCause): Promise<void> {
    const found = await this.#find(hash);
    if (!found || this.#deps.registry.tracked(found.sid)) return;
    this.#lifecycle.started(found.sid, found.record, cause, false);
  }

  async #confirmEnd(session: TrackedSession, reason: EndReason): Promise<void> {
    const { registry, transactions } = this.#deps;
    const record = await this.#read(session);
    if (isAlive(record) || registry.tracked(session.sid) !== session) return;
    transactions.revoke(session.sid, reason);
    this.#lifecycle.ended(session.sid, undefined, reason, false);
  }

  async #rotated(
    session: TrackedSession | undefined,
    to: string,
    how: SocketRotation,
  ): Promise<void> {
    const found = await this.#find(to);
    const { registry } = this.#deps;
    const stands = session && registry.tracked(session.sid) === session;
    if (!found) {
      // rotated again, or ended: the store decides
      if (stands) await this.resync(session);
      return;
    }
    if (!stands) {
      if (registry.tracked(found.sid)) return;
      this.#lifecycle.started(found.sid, found.record, "rotated", false);
      return;
    }
    const { sid } = session;
    if (
      isAlive(await this.#read(session)) || registry.tracked(sid) !== session
    ) {
      return;
    }
    const { sid: now, record } = found;
    this.#lifecycle.rotated(sid, now, record, undefined, how, false);
  }
}
