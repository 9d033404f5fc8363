/**
 * What clients receive of their session while it lives: the part of its data
 * that the option `view` selects, and notices of its expiry.
 *
 * @module
 */
import type { SessionRegistry, TrackedSession } from "../identity/registry.ts";
import { ExpiryNotices } from "./expiry_notices.ts";
import { hashId } from "../base/ids.ts";
import { Rounds } from "../base/rounds.ts";
import { isAlive, type SessionData, type SessionRecord } from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { Server, Socket } from "socket.io";
import { emitTo } from "./client_events.ts";
import { hasClusterAdapter, namespacesOf } from "./socket_io.ts";
import type { RoomNames } from "./room_names.ts";

/** What the publisher needs. */
export interface ViewPublisherDeps {
  readonly registry: SessionRegistry;
  readonly transactions: Transactions;
  readonly names: RoomNames;
  /** Whether other processes use the store. */
  readonly shared: boolean;
  /** The option of this name. */
  readonly view: ((session: SessionData) => unknown) | undefined;
  /** The option of this name, in ms. */
  readonly expiringNotice: number | undefined;
  failed(error: unknown): void;
}

/** What a client may see, and its text for comparison. */
interface View {
  readonly value: unknown;
  readonly text: string;
}

/** Emits `session:view` when a socket joins a session and when its view changes; runs the expiry notices. */
export class ViewPublisher {
  readonly #io: Server;
  readonly #deps: ViewPublisherDeps;
  readonly #notices: ExpiryNotices | undefined;
  /** How many views were published to a session. */
  readonly #counts = new WeakMap<TrackedSession, number>();
  /** By session id. */
  readonly #comparing = new Rounds<string>();
  #closed = false;

  constructor(io: Server, deps: ViewPublisherDeps) {
    this.#io = io;
    this.#deps = deps;
    const { expiringNotice, registry, transactions, failed } = deps;
    this.#notices = expiringNotice === undefined
      ? undefined
      : new ExpiryNotices(expiringNotice, {
        registry,
        read: (sid) => transactions.lookup.readSilently(sid),
        failed,
      });
  }

  /** Sockets joined a session. */
  onJoin(
    session: TrackedSession,
    sockets: readonly Socket[],
    ctx: unknown,
  ): void {
    this.#notices?.watch(session);
    if (!this.#deps.view) return;
    this.#sendTo(sockets, session, ctx).catch(this.#deps.failed);
  }

  /** A session ended, or has no sockets in this process any more. */
  onLeave(session: TrackedSession): void {
    this.#notices?.forget(session);
  }

  /** The data of a session was changed by a write. */
  onChange(sid: string, before: SessionRecord, record: SessionRecord): void {
    const { view, registry } = this.#deps;
    if (!view) return;
    const session = registry.tracked(sid);
    const hasSockets = session &&
      registry.client(session.clientId)?.session === session;
    if (!hasSockets && !hasClusterAdapter(this.#io)) return;
    const hashes = [session?.hash ?? hashId(sid)];
    this.#publish(sid, session, before, record, hashes);
  }

  /** A session continues under a new id, with its sockets. */
  onRotate(
    from: TrackedSession,
    to: TrackedSession,
    before: SessionRecord | undefined,
    record: SessionRecord,
  ): void {
    this.onLeave(from);
    const { registry, view } = this.#deps;
    if (registry.client(to.clientId)?.session === to) this.#notices?.watch(to);
    if (!view || !before || before.data === record.data) return;
    // on other nodes the sockets may be in the old room still, or in the new one already
    this.#publish(to.sid, to, before, record, [from.hash, to.hash]);
  }

  close(): void {
    this.#closed = true;
    this.#notices?.close();
  }

  #publish(
    sid: string,
    session: TrackedSession | undefined,
    before: SessionRecord,
    record: SessionRecord,
    hashes: readonly string[],
  ): void {
    try {
      const view = this.#viewOf(record);
      if (this.#viewOf(before).text === view.text) return;
      if (session) {
        this.#counts.set(session, (this.#counts.get(session) ?? 0) + 1);
      }
      this.#emit(view, hashes);
      if (this.#deps.shared) this.#confirm(sid, view, hashes);
    } catch (error) {
      this.#deps.failed(error);
    }
  }

  #emit({ value }: View, hashes: readonly string[]): void {
    const rooms = hashes.map((hash) => this.#deps.names.session(hash));
    for (const namespace of namespacesOf(this.#io)) {
      emitTo(namespace.to(rooms), "session:view", value);
    }
  }

  /**
   * Compares what was published with the store, and publishes what that has:
   * another node may have written since, and have published before.
   */
  #confirm(sid: string, { text }: View, hashes: readonly string[]): void {
    const compare = async (isDue: () => boolean) => {
      const record = await this.#deps.transactions.lookup.readSilently(sid);
      // what was read may be older than a view that was published meanwhile
      if (isDue() || this.#closed || !isAlive(record)) return;
      const view = this.#viewOf(record);
      if (view.text === text) return;
      this.#emit(view, hashes);
      this.#confirm(sid, view, hashes);
    };
    // once for each read, whoever waits for it
    const failed = (error: unknown) => {
      if (!this.#closed) this.#deps.failed(error);
    };
    this.#comparing.run(sid, (isDue) => compare(isDue).catch(failed));
  }

  async #sendTo(
    sockets: readonly Socket[],
    session: TrackedSession,
    ctx: unknown,
  ): Promise<void> {
    const { registry, transactions } = this.#deps;
    const count = this.#counts.get(session);
    const loading = transactions.lookup.load(session.sid, ctx);
    const record = loading instanceof Promise ? await loading : loading;
    const current = registry.client(session.clientId)?.session;
    if (current && current !== session) {
      return await this.#sendTo(sockets, current, ctx);
    }
    // a view that was published since then reached the sockets, and the record may be older
    const isOutdated = count !== this.#counts.get(session);
    if (!current || isOutdated || !isAlive(record)) return;
    const { value } = this.#viewOf(record);
    for (const socket of sockets) {
      // it may have left the session, or have disconnected
      const stays = registry.client(session.clientId)?.members.includes(socket);
      if (stays) emitTo(socket, "session:view", value);
    }
  }

  #viewOf({ data }: SessionRecord): View {
    // `undefined` cannot be sent
    const value = this.#deps.view!(JSON.parse(data)) ?? null;
    return { value, text: JSON.stringify(value) };
  }
}
