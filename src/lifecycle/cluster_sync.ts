/**
 * Applies changes made on other nodes. A message names the session; where one
 * was lost, the reconciliation finds the change. In both cases the store is
 * read, and decides.
 *
 * @module
 */
import type { EndReason, StartCause } from "../api/events.ts";
import { isAlive, type StoredRecord } from "../api/store.ts";
import { Rounds } from "../base/rounds.ts";
import type { TrackedClient, TrackedSession } from "../identity/registry.ts";
import { type Found, MAX_MOVES } from "../transaction/lookup.ts";
import type {
  RotatedSession,
  SocketRotation,
} from "../transaction/session_observer.ts";
import { stricter } from "../transaction/user_policy.ts";
import type { ClusterMessage } from "./cluster_messenger.ts";
import type { LifecycleDeps } from "./deps.ts";

/** Limit of reads while a termination of this process is in progress. */
const MAX_WAITS = 20;

/** Receives what happened on other nodes. */
export interface RemoteObserver {
  started(
    sid: string,
    record: StoredRecord,
    cause: StartCause,
    occasion?: Remote,
  ): void;
  begun(session: TrackedSession): void;
  changed(
    sid: string,
    record: StoredRecord,
    before: undefined,
    occasion: Quiet,
  ): void;
  rebound(
    from: string,
    sid: string,
    record: StoredRecord,
    occasion: Remote,
  ): void;
  corrected(sid: string, occasion: Remote): void;
  ended(
    sid: string,
    record: undefined,
    reason: EndReason,
    occasion: Remote & { readonly reconnect?: boolean },
  ): void;
  rotated(rotation: RotatedSession, occasion: Remote): void;
}

/** Whether a change of user that a look finds is no event: it was one, or is none. */
export interface Quiet {
  readonly quiet: boolean;
}

/** The occasion of everything that is received. */
type Remote = { readonly remote: true };

const REMOTE: Remote = { remote: true };

/** A session that was moved, with the strictest of the rotations that led there. */
interface Moved extends Found {
  readonly sockets: SocketRotation;
}

/** Brings this node in step with the store. */
export class ClusterSync {
  readonly #lifecycle: RemoteObserver;
  readonly #looks = new Rounds<TrackedSession>();
  /** Sessions that are looked at, where a change of user is an event. */
  readonly #told = new WeakSet<TrackedSession>();
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
    const { registry, transactions } = this.#deps;
    const session = registry.byHash(message.hash);
    if (message.type === "end" || message.type === "rotate") {
      transactions.tombstones.addElsewhere(message.hash);
    }
    switch (message.type) {
      case "start":
        return session
          ? this.#lifecycle.begun(session)
          : await this.#discover(message.hash, "created");
      case "change":
        return session
          ? await this.resync(session)
          : await this.#discover(message.hash, "rebuilt");
      case "correct":
        if (session) this.#lifecycle.corrected(session.sid, REMOTE);
        return;
      case "end":
        return session
          ? await this.#confirmEnd(session, message.reason, message.reconnect)
          : undefined;
      case "rotate":
        return await this.#rotated(session, message.to, message.sockets);
    }
  }

  /** Reads a tracked session again, and applies its change, rotation or end. */
  resync(
    session: TrackedSession,
    { quiet }: Quiet = { quiet: false },
  ): Promise<void> {
    if (!quiet) this.#told.add(session);
    return this.#looks.run(session, async (isDue) => {
      try {
        await this.#resync(session);
      } finally {
        if (!isDue()) this.#told.delete(session);
      }
    });
  }

  /** Looks up the session of a client that has sockets and no session here. */
  async resyncClient(client: TrackedClient): Promise<void> {
    const { registry, transactions, sockets } = this.#deps;
    const own = await transactions.lookup.ofClient(client.id);
    if (!own || client.session || registry.client(client.id) !== client) {
      return;
    }
    const session = registry.isSeen(own.sid) && registry.track(own.sid);
    if (session) sockets.onFound(session, own.record);
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
    if (moved) return this.#applyMove(session, moved);
    const reason = session.expires <= Date.now() ? "expired" : "revoked";
    transactions.revoke(sid, reason);
    this.#lifecycle.ended(sid, undefined, reason, REMOTE);
    const client = registry.client(session.clientId);
    if (client) await this.resyncClient(client);
  }

  #applyMove(session: TrackedSession, { sid, record, sockets }: Moved): void {
    const { sid: from } = session;
    if (this.#deps.transactions.tombstones.has(sid)) {
      // it ended here since it was read
      return this.#lifecycle.ended(from, undefined, "revoked", REMOTE);
    }
    this.#lifecycle.rotated(
      { from, to: sid, record, before: undefined, sockets },
      REMOTE,
    );
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
    ) {
      await transactions.settled(session.sid);
      record = await transactions.lookup.readSilently(session.sid);
    }
    return record;
  }

  /** The session under its current id, after any number of rotations. */
  async #findMoved(sid: string): Promise<Moved | undefined> {
    const { lookup } = this.#deps.transactions;
    let sockets: SocketRotation = "follow";
    for (let moves = 0; moves < MAX_MOVES; moves++) {
      const former = await lookup.former(sid);
      if (former?.to === undefined) return undefined;
      sockets = stricter(sockets, former.note as SocketRotation);
      const record = await lookup.readSilently(former.to);
      if (isAlive(record)) return { sid: former.to, record, sockets };
      sid = former.to;
    }
    return undefined;
  }

  #apply(session: TrackedSession, record: StoredRecord): void {
    const before = session.clientId;
    const quiet = !this.#told.has(session);
    this.#lifecycle.changed(session.sid, record, undefined, { quiet });
    if (record.clientId !== before) {
      this.#lifecycle.rebound(before, session.sid, record, REMOTE);
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
    if (!found) return;
    const session = this.#deps.registry.tracked(found.sid);
    if (!session) {
      this.#lifecycle.started(found.sid, found.record, cause, REMOTE);
    } else if (cause === "created") this.#lifecycle.begun(session);
  }

  async #confirmEnd(
    session: TrackedSession,
    reason: EndReason,
    reconnect: boolean,
  ): Promise<void> {
    const { registry, transactions } = this.#deps;
    const record = await this.#read(session);
    if (isAlive(record) || registry.tracked(session.sid) !== session) return;
    transactions.revoke(session.sid, reason);
    const occasion = { ...REMOTE, reconnect };
    this.#lifecycle.ended(session.sid, undefined, reason, occasion);
  }

  async #rotated(
    session: TrackedSession | undefined,
    to: string,
    sockets: SocketRotation,
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
      this.#lifecycle.started(found.sid, found.record, "rotated", REMOTE);
      return;
    }
    if (isAlive(await this.#read(session))) return;
    if (registry.tracked(session.sid) !== session) return;
    this.#applyMove(session, { ...found, sockets });
  }
}
