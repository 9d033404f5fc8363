/**
 * What clients are told of their session while it lives: what they may see of
 * it, and that it will end.
 *
 * @module
 */
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { ExpiryNotices } from "./expiry_notices.ts";
import { hashId } from "../base/ids.ts";
import { isAlive, type SessionData, type SessionRecord } from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { Server, Socket } from "socket.io";
import { emitTo } from "./client_events.ts";
import { hasClusterAdapter, namespacesOf } from "./socket_io.ts";
import { sessionRoom } from "./rooms.ts";

/** What the feed needs of the others. */
export interface ViewPublisherDeps {
  readonly clients: SessionRegistry<Socket>;
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
export class ViewPublisher {
  readonly #io: Server;
  readonly #host: ViewPublisherDeps;
  readonly #expiring: ExpiryNotices | undefined;
  /** How often a view was pushed. */
  readonly #pushes = new WeakMap<TrackedSession, number>();

  constructor(io: Server, host: ViewPublisherDeps) {
    this.#io = io;
    this.#host = host;
    const { expiringNotice, clients, transactions, failed } = host;
    this.#expiring = expiringNotice === undefined
      ? undefined
      : new ExpiryNotices(expiringNotice, {
        clients,
        peek: (sid) => transactions.lookup.readSilently(sid),
        failed,
      });
  }

  /** Sockets got into a session. */
  onJoin(
    known: TrackedSession,
    sockets: readonly Socket[],
    ctx: unknown,
  ): void {
    this.#expiring?.watch(known);
    if (!this.#host.view) return;
    this.#show(known, sockets, ctx).catch(this.#host.failed);
  }

  /** A session is over, or has no sockets here any more. */
  onLeave(known: TrackedSession): void {
    this.#expiring?.forget(known);
  }

  /** The data of a session was changed by a write. */
  onChange(sid: string, before: SessionRecord, record: SessionRecord): void {
    const { view, clients } = this.#host;
    if (!view) return;
    const known = clients.tracked(sid);
    const here = known && clients.client(known.clientId)?.session === known;
    if (!here && !hasClusterAdapter(this.#io)) return;
    this.#push(known, before, record, [known?.hash ?? hashId(sid)]);
  }

  /** A session goes on under a new id, and its sockets with it. */
  onRotate(
    from: TrackedSession,
    to: TrackedSession,
    before: SessionRecord | undefined,
    record: SessionRecord,
  ): void {
    this.onLeave(from);
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
    known: TrackedSession | undefined,
    before: SessionRecord,
    record: SessionRecord,
    hashes: readonly string[],
  ): void {
    try {
      const { view, text } = this.#seen(record);
      if (this.#seen(before).text === text) return;
      if (known) this.#pushes.set(known, (this.#pushes.get(known) ?? 0) + 1);
      const rooms = hashes.map(sessionRoom);
      for (const namespace of namespacesOf(this.#io)) {
        emitTo(namespace.to(rooms), "session:view", view);
      }
    } catch (error) {
      this.#host.failed(error);
    }
  }

  async #show(
    known: TrackedSession,
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
      if (stays) emitTo(socket, "session:view", view);
    }
  }

  #seen({ data }: SessionRecord): Seen {
    // what is undefined could not be sent
    const view = this.#host.view!(JSON.parse(data)) ?? null;
    return { view, text: JSON.stringify(view) };
  }
}
