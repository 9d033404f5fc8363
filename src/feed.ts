/**
 * What clients are told of their session while it lives: what they may see of
 * it, and that it will end.
 *
 * @module
 */
import type { Clients, Known } from "./clients.ts";
import { reachesOthers } from "./cluster.ts";
import { isAlive } from "./door.ts";
import { ExpiringNotices } from "./expiring.ts";
import { hashId } from "./ids.ts";
import { sessionRoom } from "./rooms.ts";
import type { SessionData, SessionRecord } from "./store.ts";
import type { Transactions } from "./transaction.ts";
import type { Server, Socket } from "socket.io";

/** What the feed needs of the others. */
export interface FeedHost {
  readonly clients: Clients<Socket>;
  readonly transactions: Transactions;
  /** The option of this name. */
  readonly view: ((session: SessionData) => unknown) | undefined;
  /** The option of this name, in ms. */
  readonly expiringNotice: number | undefined;
  failed(error: unknown): void;
}

/** What a client sees, and the text by which it is compared. */
interface Seen {
  readonly view: unknown;
  readonly text: string;
}

/** See the module's text. */
export class Feed {
  readonly #io: Server;
  readonly #host: FeedHost;
  readonly #expiring: ExpiringNotices | undefined;
  /** How often a view was pushed. */
  readonly #pushes = new WeakMap<Known, number>();

  constructor(io: Server, host: FeedHost) {
    this.#io = io;
    this.#host = host;
    const { expiringNotice, clients, transactions, failed } = host;
    this.#expiring = expiringNotice === undefined
      ? undefined
      : new ExpiringNotices(expiringNotice, {
        clients,
        peek: (sid) => transactions.lookup.peek(sid),
        failed,
      });
  }

  /** Sockets got into a session. */
  entered(known: Known, sockets: readonly Socket[], ctx: unknown): void {
    this.#expiring?.watch(known);
    if (!this.#host.view) return;
    this.#show(known, sockets, ctx).catch(this.#host.failed);
  }

  /** A session is over, or has no sockets here any more. */
  left(known: Known): void {
    this.#expiring?.forget(known);
  }

  /** The data of a session was changed by a write. */
  changed(sid: string, before: SessionRecord, record: SessionRecord): void {
    const { view, clients } = this.#host;
    if (!view) return;
    const known = clients.get(sid);
    const here = known && clients.client(known.clientId)?.session === known;
    if (!here && !reachesOthers(this.#io)) return;
    this.#push(known, before, record, [known?.hash ?? hashId(sid)]);
  }

  /** A session goes on under a new id, and its sockets with it. */
  followed(
    from: Known,
    to: Known,
    before: SessionRecord | undefined,
    record: SessionRecord,
  ): void {
    this.left(from);
    const { clients, view } = this.#host;
    if (clients.client(to.clientId)?.session === to) this.#expiring?.watch(to);
    if (!view || !before || before.data === record.data) return;
    // on other nodes they are in the old room still, or in the new one already
    this.#push(to, before, record, [from.hash, to.hash]);
  }

  close(): void {
    this.#expiring?.close();
  }

  #push(
    known: Known | undefined,
    before: SessionRecord,
    record: SessionRecord,
    hashes: readonly string[],
  ): void {
    try {
      const { view, text } = this.#seen(record);
      if (this.#seen(before).text === text) return;
      if (known) this.#pushes.set(known, (this.#pushes.get(known) ?? 0) + 1);
      const rooms = hashes.map(sessionRoom);
      for (const namespace of this.#io._nsps.values()) {
        namespace.to(rooms).emit("session:view", view);
      }
    } catch (error) {
      this.#host.failed(error);
    }
  }

  async #show(
    known: Known,
    sockets: readonly Socket[],
    ctx: unknown,
  ): Promise<void> {
    const { clients, transactions } = this.#host;
    const pushes = this.#pushes.get(known);
    const loading = transactions.lookup.load(known.sid, ctx);
    const record = loading instanceof Promise ? await loading : loading;
    const now = clients.client(known.clientId)?.session;
    if (now && now !== known) return await this.#show(now, sockets, ctx);
    // they were there when it was pushed, and what was read may be older
    if (!now || pushes !== this.#pushes.get(known) || !isAlive(record)) return;
    const { view } = this.#seen(record);
    for (const socket of sockets) {
      // one of them may have been put aside, or be gone
      const stays = clients.client(known.clientId)?.sockets.includes(socket);
      if (stays) socket.emit("session:view", view);
    }
  }

  #seen({ data }: SessionRecord): Seen {
    // what is undefined could not be sent
    const view = this.#host.view!(JSON.parse(data)) ?? null;
    return { view, text: JSON.stringify(view) };
  }
}
