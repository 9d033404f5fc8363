/**
 * The registry of this process: the sessions it has seen, the clients they are
 * bound to, and the local sockets of each client.
 *
 * @module
 */
import type { SeenSessions } from "./seen_sessions.ts";
import { Alarm, ExpiryHeap, type Scheduled } from "../base/expiry_heap.ts";
import { hashId } from "../base/ids.ts";
import type { SessionRecord } from "../api/store.ts";
import type { Socket } from "socket.io";

/** A session that this process has seen. */
export class TrackedSession implements Scheduled {
  slot = -1;
  expires: number;
  maxAge: number;
  clientId: string;
  user: string | undefined;
  /** When it was created, ms since the epoch. */
  readonly created: number | undefined;
  #hash: string | undefined;

  constructor(readonly sid: string, record: SessionRecord) {
    this.clientId = record.clientId!;
    this.user = record.user;
    this.created = record.created;
    this.expires = record.expires;
    this.maxAge = record.maxAge;
  }

  /** Whether the hash was computed. */
  get hashed(): boolean {
    return this.#hash !== undefined;
  }

  /** Identifies the session where its id must not appear. */
  get hash(): string {
    return this.#hash ??= hashId(this.sid);
  }
}

/** A client with sockets in this process. */
export class TrackedClient {
  /** The session that its sockets are in, except its guests. */
  session: TrackedSession | undefined;
  /** All of its sockets. */
  readonly sockets: Socket[];
  /** The sockets that are not in `session`; `undefined` where there are none, or no session. */
  guests: Set<Socket> | undefined;
  /** Time of the last recorded activity, ms since the epoch. */
  touched = 0;

  /** @param socket most clients have one, and an array of one takes a third of a Set */
  constructor(readonly id: string, socket: Socket) {
    this.sockets = [socket];
  }

  /** The sockets in `session`, or all where there is none. */
  get members(): readonly Socket[] {
    const { guests, sockets } = this;
    return guests ? sockets.filter((socket) => !guests.has(socket)) : sockets;
  }

  /** Whether a socket is in `session`. */
  isMember(socket: Socket): boolean {
    return this.session !== undefined && !this.guests?.has(socket);
  }
}

/** Receives sessions that are past their end, by the record read last. */
export interface ExpiryListener {
  expiryDue(session: TrackedSession): void;
}

/** Sessions, clients and sockets of this process. */
export class SessionRegistry {
  readonly #sessions = new Map<string, TrackedSession>();
  readonly #byHash = new Map<string, TrackedSession>();
  readonly #clients = new Map<string, TrackedClient>();
  readonly #ends = new ExpiryHeap<TrackedSession>();
  readonly #alarm: Alarm;
  readonly #seen: SeenSessions | undefined;
  readonly #watchAll: boolean;
  readonly #hashAll: boolean;
  #indexed: boolean;
  #closed = false;
  readonly #listener: ExpiryListener;

  /**
   * @param listener receives sessions that are past their end, by the record read last
   * @param watchAll whether to time sessions without sockets too, where the
   * store does not report expiry
   * @param hashAll whether other nodes may refer to any session by its hash
   * @param seen records which sessions were seen, where possible: then nothing
   * else is kept of sessions without sockets
   */
  constructor(
    listener: ExpiryListener,
    { watchAll, hashAll, seen }: {
      watchAll: boolean;
      hashAll: boolean;
      seen: SeenSessions | undefined;
    },
  ) {
    this.#seen = seen;
    this.#listener = listener;
    this.#watchAll = watchAll;
    this.#hashAll = this.#indexed = hashAll;
    this.#alarm = new Alarm(() => this.#expire());
  }

  /** Live sessions that this process has seen. */
  get sessions(): number {
    return this.#seen?.size ?? this.#sessions.size;
  }

  /** Local sockets that follow a client. */
  get sockets(): number {
    let count = 0;
    for (const client of this.#clients.values()) count += client.sockets.length;
    return count;
  }

  /** Every client with local sockets. */
  allClients(): readonly TrackedClient[] {
    return [...this.#clients.values()];
  }

  /** Whether this process has seen a live session. */
  isSeen(sid: string): boolean {
    return this.#seen?.has(sid) ?? this.#sessions.has(sid);
  }

  /** A session that is tracked. */
  tracked(sid: string): TrackedSession | undefined {
    return this.#sessions.get(sid);
  }

  /** Tracks a session that was seen. */
  track(sid: string): TrackedSession | undefined {
    const session = this.#sessions.get(sid);
    if (session) return session;
    // read again: the caller's record may be outdated
    const record = this.#seen?.read(sid);
    return record && this.#track(sid, record);
  }

  /** A session by the hash of its id: any, or one with local sockets since `indexByHash`. */
  byHash(hash: string): TrackedSession | undefined {
    return this.#byHash.get(hash);
  }

  client(clientId: string): TrackedClient | undefined {
    return this.#clients.get(clientId);
  }

  /** Records a session that is bound to a client. */
  register(sid: string, record: SessionRecord): void {
    if (this.#seen) this.#seen.add(sid);
    else this.#track(sid, record);
  }

  #track(sid: string, record: SessionRecord): TrackedSession {
    const session = new TrackedSession(sid, record);
    this.#sessions.set(sid, session);
    if (this.#hashAll) this.#byHash.set(session.hash, session);
    if (this.#watchAll) this.#schedule(session);
    return session;
  }

  /** Updates what a record holds beside the data. */
  update(session: TrackedSession, record: SessionRecord): void {
    session.user = record.user;
    session.maxAge = record.maxAge;
    session.expires = record.expires;
    if (session.slot >= 0) this.#schedule(session);
  }

  /** @returns the tracked session, and whether it was seen */
  remove(
    sid: string,
  ): { session: TrackedSession | undefined; seen: boolean } {
    const session = this.#sessions.get(sid);
    const seen = this.isSeen(sid);
    this.#seen?.delete(sid);
    if (!session) return { session, seen };
    this.#sessions.delete(sid);
    if (session.hashed) this.#byHash.delete(session.hash);
    this.#ends.remove(session);
    return { session, seen: true };
  }

  /** Makes a socket follow its client. */
  addSocket(clientId: string, socket: Socket): TrackedClient {
    const client = this.#clients.get(clientId);
    if (client) {
      client.sockets.push(socket);
      return client;
    }
    const first = new TrackedClient(clientId, socket);
    this.#clients.set(clientId, first);
    return first;
  }

  removeSocket(client: TrackedClient, socket: Socket): void {
    const { sockets } = client;
    const at = sockets.indexOf(socket);
    if (at < 0) return;
    const last = sockets.pop()!;
    if (last !== socket) sockets[at] = last;
    client.guests?.delete(socket);
    if (sockets.length > 0) return;
    this.#clients.delete(client.id);
    const { session } = client;
    if (session && !this.#watchAll) this.#ends.remove(session);
  }

  /**
   * Puts the sockets of a client into a session, and times its end.
   *
   * @param guests the sockets that stay outside
   */
  joinSession(
    client: TrackedClient,
    session: TrackedSession,
    guests: readonly Socket[] = [],
  ): void {
    client.session = session;
    client.guests = guests.length > 0 ? new Set(guests) : undefined;
    if (this.#indexed) this.#byHash.set(session.hash, session);
    this.#schedule(session);
  }

  /** Takes the sockets of a client out of its session. */
  leaveSession(client: TrackedClient): void {
    client.session = client.guests = undefined;
  }

  /** Indexes sessions with sockets by the hash of their id. */
  indexByHash(): void {
    if (this.#indexed) return;
    this.#indexed = true;
    for (const { session } of this.#clients.values()) {
      if (session) this.#byHash.set(session.hash, session);
    }
  }

  /** Times a session again. */
  rescheduleExpiry(session: TrackedSession, at: number): void {
    session.expires = at;
    if (this.#sessions.get(session.sid) === session) this.#schedule(session);
  }

  close(): void {
    this.#closed = true;
    this.#alarm.stop();
    this.#sessions.clear();
    this.#byHash.clear();
    this.#clients.clear();
  }

  #schedule(session: TrackedSession): void {
    // a message that arrived before the close may still register its session
    if (this.#closed) return;
    this.#ends.schedule(session);
    this.#alarm.set(this.#ends.next!);
  }

  #expire(): void {
    const now = Date.now();
    for (let session; (session = this.#ends.take(now)) !== undefined;) {
      this.#listener.expiryDue(session);
    }
    const { next } = this.#ends;
    if (next !== undefined) this.#alarm.set(next);
  }
}
