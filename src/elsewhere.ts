/**
 * What happened on other nodes: messages tell of it, and where one was lost, the
 * store does. Either way the store is asked before anything is believed.
 *
 * @module
 */
import type { Client, Known } from "./clients.ts";
import type { ClusterMessage } from "./cluster.ts";
import { isAlive } from "./door.ts";
import type { EndReason, StartCause } from "./events.ts";
import type { Lifecycle, LifecycleParts } from "./lifecycle.ts";
import type { StoredRecord } from "./store.ts";
import type { Socket } from "socket.io";

/** How often a session is looked for under yet another id. */
const MAX_MOVES = 20;

/** How often an end that is under way here is waited for, a read of the store each. */
const MAX_WAITS = 20;

/** See the module's text. */
export class Elsewhere {
  readonly #lifecycle: Lifecycle;
  readonly #parts: () => LifecycleParts;
  readonly #looking = new Map<Known, Promise<void>>();

  constructor(lifecycle: Lifecycle, parts: () => LifecycleParts) {
    this.#lifecycle = lifecycle;
    this.#parts = parts;
  }

  /** Another node told of something. */
  async heard(message: ClusterMessage): Promise<void> {
    const known = this.#parts().clients.byHash(message.hash);
    switch (message.type) {
      case "start":
        return known ? undefined : await this.#meet(message.hash, "created");
      case "change":
        return known
          ? await this.look(known)
          : await this.#meet(message.hash, "rebuilt");
      case "end":
        return known ? await this.#confirm(known, message.reason) : undefined;
      case "rotate":
        return await this.#rotated(known, message.to, message.sockets);
    }
  }

  /** Looks what became of a session that is followed here. */
  look(known: Known): Promise<void> {
    const looking = this.#looking.get(known);
    if (looking) return looking;
    const look = this.#look(known).finally(() => this.#looking.delete(known));
    this.#looking.set(known, look);
    return look;
  }

  /** Looks whether a client that has none here has a session by now. */
  async lookFor(client: Client<Socket>): Promise<void> {
    const { clients, transactions, sockets } = this.#parts();
    const own = await transactions.lookup.ofClient(client.id);
    if (!own || client.session || clients.client(client.id) !== client) return;
    const known = clients.met(own.sid) &&
      clients.know(own.sid);
    if (known) sockets.began(known);
    else this.#lifecycle.began(own.sid, own.record, "rebuilt");
  }

  async #look(known: Known): Promise<void> {
    const { clients, transactions } = this.#parts();
    const { sid } = known;
    const record = await this.#read(known);
    if (clients.get(sid) !== known) return;
    if (isAlive(record)) return this.#apply(known, record);
    const moved = await this.#moved(sid);
    if (clients.get(sid) !== known) return;
    if (moved) {
      const { sid: now, record } = moved;
      const how = record.clientId === known.clientId ? "follow" : "leave";
      this.#lifecycle.rotated(sid, now, record, undefined, how, false);
      return;
    }
    const reason = known.expires <= Date.now() ? "expired" : "revoked";
    transactions.door.revoke(sid, reason);
    this.#lifecycle.over(sid, undefined, reason, false);
    const client = clients.client(known.clientId);
    if (client) await this.lookFor(client);
  }

  /** Reads a record; an end, or a change of id, that is under way here has the first word. */
  async #read(known: Known): Promise<StoredRecord | undefined> {
    const { clients, transactions } = this.#parts();
    let record = await transactions.lookup.peek(known.sid);
    for (
      let waits = 0;
      waits < MAX_WAITS && transactions.isEnding(known.sid) &&
      clients.get(known.sid) === known;
      waits++
    ) record = await transactions.lookup.peek(known.sid);
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
      const record = await lookup.peek(to);
      if (isAlive(record)) return { sid: to, record };
      sid = to;
    }
    return undefined;
  }

  #apply(known: Known, record: StoredRecord): void {
    const before = known.clientId;
    this.#lifecycle.written(known.sid, record, undefined);
    if (record.clientId !== before) {
      this.#lifecycle.moved(before, known.sid, record, false);
    }
  }

  async #find(
    hash: string,
  ): Promise<{ sid: string; record: StoredRecord } | undefined> {
    const { byHash, transactions } = this.#parts();
    const sid = await byHash(hash);
    if (sid === undefined) return undefined;
    const record = await transactions.lookup.peek(sid);
    return isAlive(record) ? { sid, record } : undefined;
  }

  async #meet(hash: string, cause: StartCause): Promise<void> {
    const found = await this.#find(hash);
    if (!found || this.#parts().clients.get(found.sid)) return;
    this.#lifecycle.began(found.sid, found.record, cause, false);
  }

  async #confirm(known: Known, reason: EndReason): Promise<void> {
    const { clients, transactions } = this.#parts();
    const record = await this.#read(known);
    if (isAlive(record) || clients.get(known.sid) !== known) return;
    transactions.door.revoke(known.sid, reason);
    this.#lifecycle.over(known.sid, undefined, reason, false);
  }

  async #rotated(
    known: Known | undefined,
    to: string,
    how: "follow" | "leave",
  ): Promise<void> {
    const found = await this.#find(to);
    const { clients } = this.#parts();
    const stands = known && clients.get(known.sid) === known;
    if (!found) {
      // given yet another id meanwhile, or ended: the store tells
      if (stands) await this.look(known);
      return;
    }
    if (!stands) {
      if (clients.get(found.sid)) return;
      this.#lifecycle.began(found.sid, found.record, "rotated", false);
      return;
    }
    const { sid } = known;
    if (isAlive(await this.#read(known)) || clients.get(sid) !== known) return;
    const { sid: now, record } = found;
    this.#lifecycle.rotated(sid, now, record, undefined, how, false);
  }
}
