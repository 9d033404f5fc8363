/**
 * Who is who in this process: the sessions it has met, the clients they are
 * bound to, and which local sockets follow each client.
 *
 * @module
 */
import type SocketIO from "socket.io";
import type { SeenSessions } from "./seen_sessions.ts";
import { Alarm, ExpiryHeap, type Scheduled } from "../base/expiry_heap.ts";
import { hashId } from "../base/ids.ts";
import type { SessionRecord } from "../api/store.ts";

/** What is known of a session that this process has met. */
export class TrackedSession implements Scheduled {
  slot = -1;
  expires: number;
  maxAge: number;
  clientId: string;
  user: string | undefined;
  #hash: string | undefined;

  constructor(readonly sid: string, record: SessionRecord) {
    this.clientId = record.clientId!;
    this.user = record.user;
    this.expires = record.expires;
    this.maxAge = record.maxAge;
  }

  /** Whether the hash was ever asked for. */
  get hashed(): boolean {
    return this.#hash !== undefined;
  }

  /** Names the session where its id must not be seen. */
  get hash(): string {
    return this.#hash ??= hashId(this.sid);
  }
}

/** A client with sockets in this process. */
export class TrackedClient<Socket = SocketIO.Socket> {
  /** The session that its sockets are in. */
  session: TrackedSession | undefined;
  readonly sockets: Socket[];
  /** When its activity was last noted, ms since the epoch. */
  touched = 0;

  /** @param socket most clients have one: an array of one is a third of a Set */
  constructor(readonly id: string, socket: Socket) {
    this.sockets = [socket];
  }
}

/** See the module's text. */
export class SessionRegistry<Socket = SocketIO.Socket> {
  readonly #known = new Map<string, TrackedSession>();
  readonly #byHash = new Map<string, TrackedSession>();
  readonly #clients = new Map<string, TrackedClient<Socket>>();
  readonly #ends = new ExpiryHeap<TrackedSession>();
  readonly #alarm: Alarm;
  readonly #census: SeenSessions | undefined;
  readonly #watchAll: boolean;
  readonly #hashAll: boolean;
  #named: boolean;
  readonly #due: (known: TrackedSession) => void;

  /**
   * @param due is called with a session whose time is over, as far as this process knows
   * @param watchAll whether to watch sessions without sockets too: those of a store
   * that says nothing when they expire
   * @param hashAll whether other nodes may name any of them by its hash
   * @param census tells who was met, where it can: then nothing more is kept of
   * sessions without sockets
   */
  constructor(
    due: (known: TrackedSession) => void,
    { watchAll, hashAll, census }: {
      watchAll: boolean;
      hashAll: boolean;
      census: SeenSessions | undefined;
    },
  ) {
    this.#census = census;
    this.#due = due;
    this.#watchAll = watchAll;
    this.#hashAll = this.#named = hashAll;
    this.#alarm = new Alarm(() => this.#ring());
  }

  /** How many sessions this process has met that live, as far as it knows. */
  get sessions(): number {
    return this.#census?.size ?? this.#known.size;
  }

  /** How many local sockets follow a client. */
  get sockets(): number {
    let count = 0;
    for (const client of this.#clients.values()) count += client.sockets.length;
    return count;
  }

  /** Every client that has sockets here. */
  allClients(): readonly TrackedClient<Socket>[] {
    return [...this.#clients.values()];
  }

  /** Whether this process has met a session that lives; where nobody asks for others, any but a stranger. */
  isSeen(sid: string): boolean {
    return this.#census?.has(sid) ?? this.#known.has(sid);
  }

  /** What is known of a session; with a census, only if somebody had to know. */
  tracked(sid: string): TrackedSession | undefined {
    return this.#known.get(sid);
  }

  /** What is known of a session that was met, from now on. */
  track(sid: string): TrackedSession | undefined {
    const known = this.#known.get(sid);
    if (known) return known;
    // as it is now: whoever asks may have read it a while ago
    const record = this.#census?.read(sid);
    return record && this.#keep(sid, record);
  }

  /** A session by the hash of its id: any, or one with local sockets since `nameAll`. */
  byHash(hash: string): TrackedSession | undefined {
    return this.#byHash.get(hash);
  }

  client(clientId: string): TrackedClient<Socket> | undefined {
    return this.#clients.get(clientId);
  }

  /** Takes note of a session that is bound to a client. */
  register(sid: string, record: SessionRecord): void {
    if (this.#census) this.#census.add(sid);
    else this.#keep(sid, record);
  }

  #keep(sid: string, record: SessionRecord): TrackedSession {
    const known = new TrackedSession(sid, record);
    this.#known.set(sid, known);
    if (this.#hashAll) this.#byHash.set(known.hash, known);
    if (this.#watchAll) this.#watch(known);
    return known;
  }

  /** Takes note of what changed beside a session's data. */
  update(known: TrackedSession, record: SessionRecord): void {
    known.user = record.user;
    known.maxAge = record.maxAge;
    known.expires = record.expires;
    if (known.slot >= 0) this.#watch(known);
  }

  /** @returns what was known of it, and whether it was met */
  remove(sid: string): { known: TrackedSession | undefined; met: boolean } {
    const known = this.#known.get(sid);
    const met = this.isSeen(sid);
    this.#census?.delete(sid);
    if (!known) return { known, met };
    this.#known.delete(sid);
    if (known.hashed) this.#byHash.delete(known.hash);
    this.#ends.remove(known);
    return { known, met: true };
  }

  /** From now on the socket follows what becomes of its client. */
  addSocket(clientId: string, socket: Socket): TrackedClient<Socket> {
    const client = this.#clients.get(clientId);
    if (client) {
      client.sockets.push(socket);
      return client;
    }
    const first = new TrackedClient(clientId, socket);
    this.#clients.set(clientId, first);
    return first;
  }

  removeSocket(client: TrackedClient<Socket>, socket: Socket): void {
    const { sockets } = client;
    const at = sockets.indexOf(socket);
    if (at < 0) return;
    const last = sockets.pop()!;
    if (last !== socket) sockets[at] = last;
    if (sockets.length > 0) return;
    this.#clients.delete(client.id);
    const { session } = client;
    if (session && !this.#watchAll) this.#ends.remove(session);
  }

  /** Puts the sockets of a client into a session: its end is watched from now on. */
  joinSession(client: TrackedClient<Socket>, known: TrackedSession): void {
    client.session = known;
    if (this.#named) this.#byHash.set(known.hash, known);
    this.#watch(known);
  }

  /** From now on sessions with sockets are found by the hash of their id. */
  indexByHash(): void {
    if (this.#named) return;
    this.#named = true;
    for (const { session } of this.#clients.values()) {
      if (session) this.#byHash.set(session.hash, session);
    }
  }

  /** Looks at a session again at its end, or a while later when the store could not say. */
  rescheduleExpiry(known: TrackedSession, at: number): void {
    known.expires = at;
    if (this.#known.get(known.sid) === known) this.#watch(known);
  }

  close(): void {
    this.#alarm.stop();
    this.#known.clear();
    this.#byHash.clear();
    this.#clients.clear();
  }

  #watch(known: TrackedSession): void {
    this.#ends.schedule(known);
    this.#alarm.set(this.#ends.next!);
  }

  #ring(): void {
    const now = Date.now();
    for (let known; (known = this.#ends.take(now)) !== undefined;) {
      this.#due(known);
    }
    const { next } = this.#ends;
    if (next !== undefined) this.#alarm.set(next);
  }
}
