/**
 * The Socket.IO side: the handshake, `socket.*`, the rooms, and what becomes
 * of sockets when their session begins, moves or ends.
 *
 * @module
 */
import type { Namespace, Server, Socket } from "socket.io";
import { Admission } from "./admission.ts";
import type { Bindings } from "./binding.ts";
import type { Client, Clients, Known } from "./clients.ts";
import { isAlive } from "./door.ts";
import type { EndReason } from "./events.ts";
import type { Feed } from "./feed.ts";
import { unref } from "./expiry.ts";
import { type Followed, FOLLOWING } from "./following.ts";
import { greetGuest, greetMember, tellEnd } from "./greeting.ts";
import { isPlausibleId } from "./ids.ts";
import { join, joinSession, leave, leaveSession } from "./membership.ts";
import type { OnSessionEnd } from "./options.ts";
import { RecoveryGate } from "./recovery.ts";
import { sessionRoom, userRoom } from "./rooms.ts";
import type { SessionRecord, StoredRecord } from "./store.ts";
import { HANDSHAKE } from "./trace.ts";
import type { Transactions } from "./transaction.ts";

/** What the socket side needs from the others. */
export interface SocketHost {
  readonly transactions: Transactions;
  readonly bindings: Bindings<Socket>;
  readonly clients: Clients<Socket>;
  readonly onSessionEnd: OnSessionEnd;
  readonly touchInterval: number | false;
  readonly storeTimeout: number;
  /** Makes a Koa context of a handshake. */
  contextOf(socket: Socket): object;
  /** The ids that came with a handshake. */
  ids(ctx: object): { sid: string | undefined; clientId: string | undefined };
  /** Whether a handshake may be looked at; rejects where it may not. */
  admit(socket: Socket): Promise<void> | undefined;
  /** Finds a session by the hash of its id, beyond what this process knows. */
  byHash(hash: string): Promise<string | undefined>;
  met(sid: string, record: StoredRecord): Known | undefined;
  /** Tells more than that sessions begin and end, where an option asks for it. */
  readonly feed: Feed | undefined;
  failed(error: unknown): void;
}

type Middleware = (socket: Socket, next: (error?: Error) => void) => void;

/** The Socket.IO half of the bridge. */
export class SocketSessions {
  readonly #host: SocketHost;
  readonly #gate: RecoveryGate;
  readonly #contexts = new WeakMap<Socket, object>();
  readonly #graces = new Set<ReturnType<typeof setTimeout>>();
  readonly #undo: (() => void)[] = [];
  /** Namespaces come and go: nothing here may keep one. */
  readonly #installed = new WeakMap<Namespace, () => void>();
  /** There only with the option `valid`. */
  readonly #admission: Admission | undefined;
  readonly #activity: () => void;
  readonly #gone: () => void;
  /** The same for all sockets: an accessor of its own would give each a hidden class. */
  readonly #members: PropertyDescriptorMap;

  constructor(io: Server, host: SocketHost) {
    this.#host = host;
    this.#activity = this.#listener() as () => void;
    this.#members = this.#describeMembers();
    const { validity } = host.bindings;
    this.#admission = validity && new Admission(
      host.clients,
      (socket, record) => validity.ask(host.contextOf(socket), record),
      host.failed,
    );
    this.#gone = unfollowing(
      host.clients,
      this.#admission,
      (known) => host.feed?.left(known),
    );
    this.#gate = new RecoveryGate(
      host.storeTimeout,
      (hash) => this.#standing(hash),
    );
    const install = (namespace: Namespace) => this.#install(namespace);
    for (const namespace of io._nsps.values()) install(namespace);
    io.on("new_namespace", install);
    this.#undo.push(() => {
      io.off("new_namespace", install);
      for (const namespace of io._nsps.values()) {
        this.#installed.get(namespace)?.();
      }
    });
  }

  /** A session began: the sockets of its client are in it from now on. */
  began(known: Known, record?: SessionRecord): void {
    const { clients } = this.#host;
    const { clientId } = known;
    if (this.#admission && clients.client(clientId)?.session !== known) {
      if (!record) return this.#beginLate(known);
      const before = clients.client(clientId);
      if (before?.session) this.#quit(before, before.session);
      this.#admission.sort(clientId, record);
    }
    const client = clients.client(clientId);
    if (!client || client.session === known) return;
    this.#enter(client, known);
    for (const socket of client.sockets) socket.emit("session:start");
    this.#entered(known, [...client.sockets]);
  }

  /** A session ended: its rooms are empty when this returns. */
  ended(known: Known, reason: EndReason): void {
    const client = this.#host.clients.client(known.clientId);
    if (client?.session !== known) return;
    this.#quit(client, known);
    if (reason === "rotated") return;
    for (const socket of [...client.sockets]) {
      this.#tell(socket, client, reason);
    }
  }

  /** A session goes on under a new id. */
  rotated(from: Known, to: Known, sockets: "follow" | "leave"): void {
    const client = this.#host.clients.client(from.clientId);
    if (client?.session !== from) return;
    if (sockets === "leave") this.#quit(client, from);
    else {
      client.session = undefined;
      for (const socket of client.sockets) {
        leave(socket, sessionRoom(from.hash));
      }
      this.#enter(client, to);
    }
    for (const socket of client.sockets) {
      socket.emit("session:rotated", { sockets });
    }
  }

  /** A session was settled on another client than the one it was bound to. */
  moved(fromClient: string, known: Known, record: SessionRecord): void {
    const client = this.#host.clients.client(fromClient);
    if (client?.session === known) this.#quit(client, known);
    this.began(known, record);
  }

  /** A session belongs to somebody else now. */
  userChanged(known: Known, before: string | undefined): void {
    const client = this.#host.clients.client(known.clientId);
    if (client?.session !== known) return;
    for (const socket of client.sockets) {
      if (before !== undefined) leave(socket, userRoom(before));
      if (known.user !== undefined) join(socket, userRoom(known.user));
    }
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
    for (const timer of this.#graces) clearTimeout(timer);
    this.#graces.clear();
  }

  #install(namespace: Namespace): void {
    const middleware: Middleware = (socket, next) => {
      this.#traced(socket).then(
        () => next(),
        (error) => next(refusal(error)),
      );
    };
    const onConnect = (socket: Socket) => this.#connected(socket);
    const { _fns } = namespace as unknown as { _fns: Middleware[] };
    _fns.unshift(middleware);
    namespace.prependListener("connect", onConnect);
    const unguard = this.#gate.guard(namespace);
    this.#installed.set(namespace, () => {
      const at = _fns.indexOf(middleware);
      if (at >= 0) _fns.splice(at, 1);
      namespace.off("connect", onConnect);
      unguard();
    });
  }

  async #traced(socket: Followed): Promise<void> {
    if (!HANDSHAKE.watched) return await this.#handshake(socket);
    await HANDSHAKE.run(undefined, "socket", async (span) => {
      await this.#handshake(socket);
      span.session = socket[FOLLOWING]?.known?.hash;
      span.outcome = span.session === undefined ? "guest" : "session";
    });
  }

  async #handshake(socket: Socket): Promise<void> {
    const host = this.#host;
    const admitting = host.admit(socket);
    if (admitting) await admitting;
    const ctx = host.contextOf(socket);
    const came = host.ids(ctx);
    const bound = await host.bindings.ofHandshake(
      came.sid,
      isPlausibleId(came.clientId) ? came.clientId : undefined,
      ctx,
    );
    const known = bound.sid === undefined
      ? undefined
      : host.clients.get(bound.sid);
    this.#equip(socket, bound.clientId, known);
  }

  #equip(
    socket: Followed,
    clientId: string | undefined,
    known: Known | undefined,
  ): void {
    socket[FOLLOWING] = { clientId, known, client: undefined };
    Object.defineProperties(socket, this.#members);
  }

  #describeMembers(): PropertyDescriptorMap {
    const sessionOf = (socket: Followed) => this.#sessionOf(socket);
    const contextOf = (socket: Followed) => this.#contextOf(socket);
    const withSession = (socket: Followed, args: unknown[]) =>
      this.#withSession(socket, args);
    return {
      clientId: {
        configurable: true,
        get(this: Followed) {
          return this[FOLLOWING]?.clientId;
        },
      },
      sessionId: {
        configurable: true,
        get(this: Followed) {
          return sessionOf(this)?.sid;
        },
      },
      withSession: {
        configurable: true,
        // bound when it is asked for, so that it may be taken off its socket
        get(this: Followed) {
          return (...args: unknown[]) => withSession(this, args);
        },
      },
      ctx: {
        configurable: true,
        get(this: Followed) {
          return contextOf(this);
        },
      },
    };
  }

  /** The session of a socket now, whether it is connected yet, still, or no more. */
  #sessionOf(socket: Followed): Known | undefined {
    const { clients } = this.#host;
    const following = socket[FOLLOWING];
    const known = following?.client
      ? following.client.session
      : following?.known;
    const lives = known && clients.get(known.sid) === known &&
      known.clientId === following?.clientId;
    return lives ? known : undefined;
  }

  #withSession(socket: Socket, args: unknown[]): Promise<unknown> {
    return this.#host.transactions.run(this.#sessionOf(socket)?.sid, args, {
      socket,
      ctx: this.#lateContext(socket),
      touch: true,
    });
  }

  /** A context is large, and only stores that want one need it again after the handshake. */
  #lateContext(socket: Socket): unknown {
    return this.#host.transactions.wantsContext
      ? this.#contextOf(socket)
      : undefined;
  }

  #contextOf(socket: Socket): object {
    let ctx = this.#contexts.get(socket);
    if (!ctx) this.#contexts.set(socket, ctx = this.#host.contextOf(socket));
    return ctx;
  }

  #connected(socket: Followed): void {
    const told = !socket[FOLLOWING] && this.#recovered(socket);
    // its session ended meanwhile, and the socket with it
    if (!socket.connected) return;
    const following = socket[FOLLOWING];
    if (following?.clientId === undefined) return greetGuest(socket, false);
    const { clients } = this.#host;
    const { clientId } = following;
    const known = this.#sessionOf(socket);
    socket.on("disconnect", this.#gone);
    if (this.#host.touchInterval !== false) listen(socket, this.#activity);
    let aside: readonly Socket[] = [];
    if (this.#admission) {
      const now = clients.client(clientId)?.session;
      // another session than `valid` was asked about for this socket, if any
      if (now && now !== known) {
        this.#admission.putAside(socket);
        if (!told) greetGuest(socket, true);
        return this.#readmit(now, [socket]);
      }
      if (known && !now) aside = this.#admission.putAllAside(clientId);
    }
    const client = clients.follow(clientId, socket);
    following.client = client;
    if (!client.session && !known) {
      if (!told) greetGuest(socket, true);
      return this.#lookAgain(client, socket);
    }
    // guests until now, whom this one takes along
    const guests = client.session ? [] : [...client.sockets];
    if (client.session) joinSession(socket, client.session);
    else this.#enter(client, known!);
    for (const guest of guests) {
      if (guest !== socket) guest.emit("session:start");
    }
    greetMember(socket);
    this.#entered(client.session!, guests.length > 0 ? guests : [socket]);
    if (aside.length > 0) this.#readmit(client.session!, aside);
  }

  /** Asks `valid` about sockets that were put aside. */
  #readmit(known: Known, sockets: readonly Socket[]): void {
    const { clients, failed } = this.#host;
    this.#read(known).then((record) => {
      const now = clients.client(known.clientId)?.session;
      if (now && now !== known) return this.#readmit(now, sockets);
      if (!record) return;
      // whom they would have joined is gone
      if (!now) return this.began(known, record);
      const admitted = this.#admission!.readmit(sockets, record);
      for (const socket of admitted) {
        joinSession(socket, known);
        socket.emit("session:start");
      }
      this.#entered(known, admitted);
    }).catch(failed);
  }

  /** As `began`, for a session whose record is not at hand. */
  #beginLate(known: Known): void {
    const { clients, failed } = this.#host;
    this.#read(known).then((record) => {
      if (record && !clients.client(known.clientId)?.session) {
        this.began(known, record);
      }
    }).catch(failed);
  }

  async #read(known: Known): Promise<StoredRecord | undefined> {
    const { clients, transactions } = this.#host;
    const record = await transactions.lookup.load(known.sid);
    const lives = isAlive(record) && clients.get(known.sid) === known;
    return lives ? record : undefined;
  }

  #entered(known: Known, sockets: readonly Socket[]): void {
    const { feed } = this.#host;
    if (!feed || sockets.length === 0) return;
    feed.entered(known, sockets, this.#lateContext(sockets[0]!));
  }

  /**
   * A socket that was recovered went past the handshake.
   *
   * @returns whether it was told that its session ended
   */
  #recovered(socket: Socket): boolean {
    const known = this.#gate.admitted(socket.id) as Known | undefined;
    if (known) {
      this.#equip(socket, known.clientId, known);
      // it ended between the gate and here
      if (this.#sessionOf(socket)) return false;
      leaveSession(socket, known);
      tellEnd(socket, "revoked", this.#host.onSessionEnd);
      if (this.#host.onSessionEnd !== "keep") socket.disconnect();
      return true;
    }
    this.#equip(socket, this.#cameFrom(socket), undefined);
    return false;
  }

  /** Nobody is there to be told that `externalKey.get` failed: such a socket is a guest. */
  #cameFrom(socket: Socket): string | undefined {
    try {
      const { clientId } = this.#host.ids(this.#host.contextOf(socket));
      return isPlausibleId(clientId) ? clientId : undefined;
    } catch (error) {
      this.#host.failed(error);
      return undefined;
    }
  }

  /** A login may have happened between the handshake and the connection. */
  #lookAgain(client: Client<Socket>, socket: Socket): void {
    const { transactions, clients, met, contextOf, bindings } = this.#host;
    transactions.lookup.ofClient(client.id).then((own) => {
      if (!own || client.session || clients.client(client.id) !== client) {
        return;
      }
      const { validity } = bindings;
      if (validity?.ask(contextOf(socket), own.record) === false) return;
      const known = clients.get(own.sid) ?? met(own.sid, own.record);
      if (known && !client.session) this.began(known, own.record);
    }).catch(() => {
      // a guest stays one: its next event, or login, asks the store again
    });
  }

  async #standing(hash: string): Promise<Known | undefined> {
    const { clients, transactions, byHash, met } = this.#host;
    const sid = clients.byHash(hash)?.sid ?? await byHash(hash);
    if (sid === undefined) return undefined;
    const record = await transactions.lookup.load(sid);
    if (!isAlive(record)) return undefined;
    return clients.get(sid) ?? met(sid, record);
  }

  /** Puts all sockets of a client into a session. */
  #enter(client: Client<Socket>, known: Known): void {
    this.#host.clients.enter(client, known);
    for (const socket of client.sockets) joinSession(socket, known);
  }

  /** Takes all sockets of a client out of its session. */
  #quit(client: Client<Socket>, known: Known): void {
    client.session = undefined;
    for (const socket of client.sockets) {
      leaveSession(socket, known, client.id);
    }
  }

  #tell(socket: Socket, client: Client<Socket>, reason: EndReason): void {
    const { onSessionEnd } = this.#host;
    tellEnd(socket, reason, onSessionEnd);
    if (onSessionEnd === "keep") return;
    // the end of a namespace, unlike that of a connection, cannot be recovered from
    if (onSessionEnd === "disconnect") return void socket.disconnect();
    const timer = setTimeout(() => {
      this.#graces.delete(timer);
      if (!client.session) socket.disconnect();
    }, onSessionEnd.disconnectAfter);
    unref(timer);
    this.#graces.add(timer);
  }

  /** Application events are activity, pings are not. One listener serves all sockets. */
  #listener(): (this: Followed) => void {
    const { touchInterval, transactions, failed } = this.#host;
    const touch = (socket: Followed) => {
      const client = socket[FOLLOWING]?.client;
      const now = Date.now();
      if (!client || now - client.touched < (touchInterval as number)) return;
      client.touched = now;
      const known = this.#sessionOf(socket);
      if (!known) return;
      transactions.lookup.touch(
        known.sid,
        known.maxAge,
        this.#lateContext(socket),
      )
        .catch(failed);
    };
    return function () {
      touch(this);
    };
  }
}

/** One listener serves all sockets: a closure for each would be kept as long as the socket. */
function unfollowing(
  clients: Clients<Socket>,
  admission: Admission | undefined,
  left: (known: Known) => void,
): () => void {
  return function (this: Followed) {
    const client = this[FOLLOWING]?.client;
    if (!client) return admission?.forget(this);
    clients.unfollow(client, this);
    if (client.session && client.sockets.length === 0) left(client.session);
  } as () => void;
}

/** As `socket.onAny`, with an array of one: a push into an empty array makes room for 17. */
function listen(socket: Socket, listener: () => void): void {
  const held = socket as unknown as { _anyListeners?: unknown };
  held._anyListeners ??= [listener];
  if (!socket.listenersAny().includes(listener)) socket.onAny(listener);
}

/** What a client that is refused is told: the kind of error, no ids and no causes. */
function refusal(error: unknown): Error {
  // whatever a callback of the user's threw: null as well
  const { code, message }: { code?: unknown; message?: string } = Object(error);
  if (typeof code !== "string" || !code.startsWith("SESSION_")) {
    return Object.assign(new Error("Cannot open the session"), {
      data: { code: "SESSION_HANDSHAKE" },
    });
  }
  return Object.assign(new Error(message), { data: { code } });
}
