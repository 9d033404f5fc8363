/**
 * What follows from what passed through the door, here or on another node: who
 * is known, which sockets are in which session, who is told.
 *
 * @module
 */
import type { Client, Clients } from "./clients.ts";
import { Known } from "./clients.ts";
import { Cluster, type ClusterMessage } from "./cluster.ts";
import { isAlive } from "./door.ts";
import type { BridgeEvents, EndReason, StartCause } from "./events.ts";
import { hashId } from "./ids.ts";
import type { SocketSessions } from "./socket.ts";
import type { SessionRecord, StoredRecord } from "./store.ts";
import type { Transactions } from "./transaction.ts";
import type { Server, Socket } from "socket.io";

/** What the lifecycle needs of the others; they are made after it. */
export interface LifecycleParts {
  readonly transactions: Transactions;
  readonly clients: Clients<Socket>;
  readonly sockets: SocketSessions;
  /** Finds the live session whose id has this hash, where the store can tell. */
  readonly byHash: (hash: string) => Promise<string | undefined>;
}

/** Emits an event of the bridge. */
export type Emit = <K extends keyof BridgeEvents>(
  event: K,
  ...args: BridgeEvents[K]
) => unknown;

/** See the module's text. */
export class Lifecycle {
  /** Sessions that ended, by reason. */
  readonly ended: Record<EndReason, number> = {
    logout: 0,
    revoked: 0,
    expired: 0,
    replaced: 0,
    rotated: 0,
    evicted: 0,
  };
  readonly #emit: Emit;
  readonly #failed: (error: unknown) => void;
  readonly #parts: () => LifecycleParts;
  readonly #cluster: Cluster;

  constructor(
    io: Server,
    emit: Emit,
    failed: (error: unknown) => void,
    parts: () => LifecycleParts,
  ) {
    this.#emit = emit;
    this.#failed = failed;
    this.#parts = parts;
    this.#cluster = new Cluster(
      io,
      (message) => this.#received(message),
      failed,
    );
  }

  close(): void {
    this.#cluster.close();
  }

  /** A session began, or was met for the first time. */
  began(
    sid: string,
    record: SessionRecord,
    cause: StartCause,
    local = true,
  ): Known | undefined {
    const { clients, sockets } = this.#parts();
    const known = clients.meet(sid, record);
    if (!known) return undefined;
    sockets.began(known);
    if (local && cause === "created") {
      this.#cluster.tell({ type: "start", hash: hashId(sid) });
    }
    const { clientId } = known;
    this.#emit("sessionStart", { clientId, sessionId: sid, cause, local });
    return known;
  }

  /** A session was written: it may belong to somebody else now. */
  written(sid: string, record: SessionRecord, local = true): void {
    const { clients, sockets } = this.#parts();
    const known = clients.get(sid);
    if (!known) return;
    const before = known.user;
    clients.update(known, record);
    if (before === record.user) return;
    sockets.userChanged(known, before);
    if (local) this.#cluster.tell({ type: "change", hash: known.hash });
  }

  /** A session was settled on another client than it was bound to. */
  moved(from: string, sid: string, record: SessionRecord, local = true): void {
    const { clients, sockets } = this.#parts();
    const known = clients.get(sid);
    if (!known || record.clientId === undefined) return;
    known.clientId = record.clientId;
    sockets.moved(from, known);
    if (local) this.#cluster.tell({ type: "change", hash: known.hash });
  }

  /** A session ended. When this returns, its rooms are empty on this node. */
  over(
    sid: string,
    record: SessionRecord | undefined,
    reason: EndReason,
    local = true,
  ): void {
    const { clients, sockets } = this.#parts();
    const met = clients.forget(sid);
    const known = met ??
      (record?.clientId === undefined ? undefined : new Known(sid, record));
    // an expiry that was seen before was told of before
    if (!known || (!met && reason === "expired")) return;
    this.ended[reason]++;
    sockets.ended(known, reason);
    // each node times expiries by itself
    if (local && reason !== "expired") {
      this.#cluster.tell({ type: "end", hash: known.hash, reason });
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
    const { clients, sockets } = this.#parts();
    const old = clients.forget(from) ??
      (before?.clientId === undefined ? undefined : new Known(from, before));
    const known = clients.meet(to, record);
    if (!old || !known) return;
    sockets.rotated(old, known, how);
    this.ended.rotated++;
    if (local) {
      const { hash } = old;
      this.#cluster.tell({
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
    if (transactions.isEnding(sid)) return;
    transactions.door.revoke(sid, reason);
    this.over(sid, record, reason);
  }

  /** A session that was taken for alive is not in the store any more. */
  missed(sid: string): void {
    const known = this.#parts().clients.get(sid);
    if (!known) return;
    this.removed(sid, known.expires <= Date.now() ? "expired" : "revoked");
  }

  /** The time of a session is over as far as is known here; the store has the last word. */
  async due(known: Known): Promise<void> {
    const { clients, transactions } = this.#parts();
    try {
      const record = await transactions.lookup.load(known.sid);
      if (isAlive(record)) clients.watchAgain(known, record.expires);
      else if (clients.get(known.sid) === known) {
        await transactions.end(known.sid, "expired", record ? { record } : {});
        if (clients.get(known.sid) === known) {
          this.removed(known.sid, "expired", record);
        }
      }
    } catch (error) {
      clients.watchAgain(known, Date.now() + 1_000);
      this.#failed(error);
    }
  }

  /** The store does not show a session that is followed here: it ended, or moved, elsewhere. */
  async gone(known: Known): Promise<void> {
    const { clients, transactions } = this.#parts();
    const { sid } = known;
    if (clients.get(sid) !== known) return;
    const to = await transactions.lookup.movedTo(sid);
    if (to !== undefined && await this.#follow(known, to)) return;
    // the read tells of an end, if it was one
    await transactions.lookup.load(sid);
  }

  /** A client with sockets and without a session may have begun one elsewhere. */
  async guest(client: Client<Socket>): Promise<void> {
    const { clients, transactions, sockets } = this.#parts();
    const own = await transactions.lookup.ofClient(client.id);
    if (!own || client.session || clients.client(client.id) !== client) return;
    const known = clients.get(own.sid);
    if (known) sockets.began(known);
    else this.began(own.sid, own.record, "rebuilt");
  }

  async #received(message: ClusterMessage): Promise<void> {
    const { clients } = this.#parts();
    const known = clients.byHash(message.hash);
    switch (message.type) {
      case "start":
        return known ? undefined : await this.#meet(message.hash, "created");
      case "change":
        return known
          ? await this.#reread(known)
          : await this.#meet(message.hash, "rebuilt");
      case "end":
        return known ? await this.#confirm(known, message.reason) : undefined;
      case "rotate":
        return await this.#rotatedElsewhere(known, message.to, message.sockets);
    }
  }

  async #find(
    hash: string,
  ): Promise<{ sid: string; record: StoredRecord } | undefined> {
    const { byHash, transactions } = this.#parts();
    const sid = await byHash(hash);
    const record = sid === undefined
      ? undefined
      : await transactions.lookup.load(sid);
    return isAlive(record) ? { sid: sid!, record } : undefined;
  }

  async #meet(hash: string, cause: StartCause): Promise<void> {
    const found = await this.#find(hash);
    if (!found || this.#parts().clients.get(found.sid)) return;
    this.began(found.sid, found.record, cause, false);
  }

  async #reread(known: Known): Promise<void> {
    const { clients, transactions } = this.#parts();
    const record = await transactions.lookup.load(known.sid);
    if (!isAlive(record) || clients.get(known.sid) !== known) return;
    const before = known.clientId;
    this.written(known.sid, record, false);
    if (record.clientId !== before) {
      this.moved(before, known.sid, record, false);
    }
  }

  async #confirm(known: Known, reason: EndReason): Promise<void> {
    const { clients, transactions } = this.#parts();
    const record = await transactions.lookup.peek(known.sid);
    if (isAlive(record) || clients.get(known.sid) !== known) return;
    transactions.door.revoke(known.sid, reason);
    this.over(known.sid, undefined, reason, false);
  }

  async #rotatedElsewhere(
    known: Known | undefined,
    to: string,
    sockets: "follow" | "leave",
  ): Promise<void> {
    const found = await this.#find(to);
    if (!found) return known && await this.#confirm(known, "rotated");
    const { clients, transactions } = this.#parts();
    if (clients.get(found.sid)) return;
    if (!known || clients.get(known.sid) !== known) {
      this.began(found.sid, found.record, "rotated", false);
      return;
    }
    if (isAlive(await transactions.lookup.peek(known.sid))) return;
    this.rotated(known.sid, found.sid, found.record, undefined, sockets, false);
  }

  async #follow(known: Known, to: string): Promise<boolean> {
    const { clients, transactions } = this.#parts();
    const record = await transactions.lookup.load(to);
    if (!isAlive(record) || clients.get(known.sid) !== known) return false;
    const sockets = record.clientId === known.clientId ? "follow" : "leave";
    if (clients.get(to)) return false;
    this.rotated(known.sid, to, record, undefined, sockets, false);
    return true;
  }
}
