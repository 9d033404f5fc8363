/**
 * What happened on other nodes: messages tell of it, and where one was lost, the
 * store does. Either way the store is asked before anything is believed.
 *
 * @module
 */
import type { TrackedClient, TrackedSession } from "../identity/registry.ts";
import type { ClusterMessage } from "./cluster_messenger.ts";
import type { EndReason, StartCause } from "../api/events.ts";
import type { LifecycleDeps, SessionLifecycle } from "./lifecycle.ts";
import { isAlive, type StoredRecord } from "../api/store.ts";
import type { Socket } from "socket.io";

/** How often a session is looked for under yet another id. */
const MAX_MOVES = 20;

/** How often an end that is under way here is waited for, a read of the store each. */
const MAX_WAITS = 20;

/** See the module's text. */
export class ClusterSync {
  readonly #lifecycle: SessionLifecycle;
  readonly #parts: () => LifecycleDeps;
  readonly #looking = new Map<TrackedSession, Promise<void>>();

  constructor(lifecycle: SessionLifecycle, parts: () => LifecycleDeps) {
    this.#lifecycle = lifecycle;
    this.#parts = parts;
  }

  /** Another node told of something. */
  async onMessage(message: ClusterMessage): Promise<void> {
    const known = this.#parts().clients.byHash(message.hash);
    switch (message.type) {
      case "start":
        return known ? undefined : await this.#meet(message.hash, "created");
      case "change":
        return known
          ? await this.resync(known)
          : await this.#meet(message.hash, "rebuilt");
      case "end":
        return known ? await this.#confirm(known, message.reason) : undefined;
      case "rotate":
        return await this.#rotated(known, message.to, message.sockets);
    }
  }

  /** Looks what became of a session that is followed here. */
  resync(known: TrackedSession): Promise<void> {
    const looking = this.#looking.get(known);
    if (looking) return looking;
    const look = this.#look(known).finally(() => this.#looking.delete(known));
    this.#looking.set(known, look);
    return look;
  }

  /** Looks whether a client that has none here has a session by now. */
  async resyncClient(client: TrackedClient<Socket>): Promise<void> {
    const { clients, transactions, sockets } = this.#parts();
    const own = await transactions.lookup.ofClient(client.id);
    if (!own || client.session || clients.client(client.id) !== client) return;
    const known = clients.isSeen(own.sid) &&
      clients.track(own.sid);
    if (known) sockets.onStart(known);
    else this.#lifecycle.started(own.sid, own.record, "rebuilt");
  }

  async #look(known: TrackedSession): Promise<void> {
    const { clients, transactions } = this.#parts();
    const { sid } = known;
    const record = await this.#read(known);
    if (clients.tracked(sid) !== known) return;
    if (isAlive(record)) return this.#apply(known, record);
    const moved = await this.#moved(sid);
    if (clients.tracked(sid) !== known) return;
    if (moved) {
      const { sid: now, record } = moved;
      const how = record.clientId === known.clientId ? "follow" : "leave";
      this.#lifecycle.rotated(sid, now, record, undefined, how, false);
      return;
    }
    const reason = known.expires <= Date.now() ? "expired" : "revoked";
    transactions.door.revoke(sid, reason);
    this.#lifecycle.ended(sid, undefined, reason, false);
    const client = clients.client(known.clientId);
    if (client) await this.resyncClient(client);
  }

  /** Reads a record; an end, or a change of id, that is under way here has the first word. */
  async #read(known: TrackedSession): Promise<StoredRecord | undefined> {
    const { clients, transactions } = this.#parts();
    let record = await transactions.lookup.readSilently(known.sid);
    for (
      let waits = 0;
      waits < MAX_WAITS && transactions.isEnding(known.sid) &&
      clients.tracked(known.sid) === known;
      waits++
    ) record = await transactions.lookup.readSilently(known.sid);
    return record;
  }

  /** Where a session is now that was given a new id, or several. */
  async #moved(
    sid: string,
  ): Promise<{ sid: string; record: StoredRecord } | undefined> {
    const { lookup } = this.#parts().transactions;
    for (let moves = 0; moves < MAX_MOVES; moves++) {
      const to = await lookup.movedTo(sid);
      if (to === undefined) return undefined;
      const record = await lookup.readSilently(to);
      if (isAlive(record)) return { sid: to, record };
      sid = to;
    }
    return undefined;
  }

  #apply(known: TrackedSession, record: StoredRecord): void {
    const before = known.clientId;
    this.#lifecycle.written(known.sid, record, undefined);
    if (record.clientId !== before) {
      this.#lifecycle.rebound(before, known.sid, record, false);
    }
  }

  async #find(
    hash: string,
  ): Promise<{ sid: string; record: StoredRecord } | undefined> {
    const { byHash, transactions } = this.#parts();
    const sid = await byHash(hash);
    if (sid === undefined) return undefined;
    const record = await transactions.lookup.readSilently(sid);
    return isAlive(record) ? { sid, record } : undefined;
  }

  async #meet(hash: string, cause: StartCause): Promise<void> {
    const found = await this.#find(hash);
    if (!found || this.#parts().clients.tracked(found.sid)) return;
    this.#lifecycle.started(found.sid, found.record, cause, false);
  }

  async #confirm(known: TrackedSession, reason: EndReason): Promise<void> {
    const { clients, transactions } = this.#parts();
    const record = await this.#read(known);
    if (isAlive(record) || clients.tracked(known.sid) !== known) return;
    transactions.door.revoke(known.sid, reason);
    this.#lifecycle.ended(known.sid, undefined, reason, false);
  }

  async #rotated(
    known: TrackedSession | undefined,
    to: string,
    how: "follow" | "leave",
  ): Promise<void> {
    const found = await this.#find(to);
    const { clients } = this.#parts();
    const stands = known && clients.tracked(known.sid) === known;
    if (!found) {
      // given yet another id meanwhile, or ended: the store tells
      if (stands) await this.resync(known);
      return;
    }
    if (!stands) {
      if (clients.tracked(found.sid)) return;
      this.#lifecycle.started(found.sid, found.record, "rotated", false);
      return;
    }
    const { sid } = known;
    if (isAlive(await this.#read(known)) || clients.tracked(sid) !== known) {
      return;
    }
    const { sid: now, record } = found;
    this.#lifecycle.rotated(sid, now, record, undefined, how, false);
  }
}
