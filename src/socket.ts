/**
 * The Socket.IO side: the handshake, `socket.*`, the rooms, and what becomes
 * of sockets when their session begins, moves or ends.
 *
 * @module
 */
import type { Namespace, Server, Socket } from "socket.io";
import { Admission } from "./admission.ts";
import type { Client, Clients, Known } from "./clients.ts";
import { isAlive } from "./door.ts";
import type { EndReason } from "./events.ts";
import type { Feed } from "./feed.ts";
import { unref } from "./expiry.ts";
import { type Followed, FOLLOWING } from "./following.ts";
import { greetGuest, greetMember, tellEnd } from "./greeting.ts";
import {
  type HandshakeHost,
  handshakes,
  type Middleware,
} from "./handshake.ts";
import type { Membership } from "./membership.ts";
import type { OnSessionEnd } from "./options.ts";
import { RecoveryGate } from "./recovery.ts";
import type { SessionRecord, StoredRecord } from "./store.ts";
import type { Transactions } from "./transaction.ts";

/** What the socket side needs from the others. */
export interface SocketHost extends HandshakeHost {
  readonly transactions: Transactions;
  readonly membership: Membership;
  readonly onSessionEnd: OnSessionEnd;
  readonly touchInterval: number | false;
  readonly storeTimeout: number;
  /** Finds a session by the hash of its id, beyond what this process knows. */
  byHash(hash: string): Promise<string | undefined>;
  /** What is known of a live session, which may be met for the first time. */
  known(sid: string, record: StoredRecord): Known | undefined;
  /** Tells more than that sessions begin and end, where an option asks for it. */
  readonly feed: Feed | undefined;
  failed(error: unknown): void;
}

/** The Socket.IO half of the bridge. */
export class SocketSessions {
  readonly #host: SocketHost;
  readonly #gate: RecoveryGate;
  readonly #graces = new Set<ReturnType<typeof setTimeout>>();
  readonly #undo: (() => void)[] = [];
  /** Namespaces come and go: nothing here may keep one. */
  readonly #installed = new WeakMap<Namespace, () => void>();
  /** There only with the option `valid`. */
  readonly #admission: Admission | undefined;
  readonly #activity: () => void;
  readonly #gone: () => void;
  readonly #handshake: Middleware;

  constructor(io: Server, host: SocketHost) {
    this.#host = host;
    this.#activity = this.#listener() as () => void;
    this.#handshake = handshakes(host);
    const { validity } = host.bindings;
    this.#admission = validity && new Admission(
      host.clients,
      (socket, record) =>
        validity.ask(host.equipment.contextOf(socket), record),
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
      this.#host.membership.leaveId(client.sockets, from);
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
    const { clients, membership } = this.#host;
    const client = clients.client(known.clientId);
    if (client?.session !== known) return;
    membership.changeUser(client.sockets, before, known.user);
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
    for (const timer of this.#graces) clearTimeout(timer);
    this.#graces.clear();
  }

  #install(namespace: Namespace): void {
    const middleware = this.#handshake;
    const onConnect = (socket: Socket) => this.#connected(socket);
    const { _fns } = namespace as unknown as { _fns: Middleware[] };
    _fns.unshift(middleware);
    namespace.prependListener("connect", onConnect);
    const unguard = this.#gate.guard(
      namespace,
      (adapter) => this.#host.membership.keepFor(adapter),
    );
    this.#installed.set(namespace, () => {
      const at = _fns.indexOf(middleware);
      if (at >= 0) _fns.splice(at, 1);
      namespace.off("connect", onConnect);
      unguard();
    });
  }

  #connected(socket: Followed): void {
    const told = !socket[FOLLOWING] && this.#recovered(socket);
    // its session ended meanwhile, and the socket with it
    if (!socket.connected) return;
    const following = socket[FOLLOWING];
    if (following?.clientId === undefined) return greetGuest(socket, false);
    const { clients, membership } = this.#host;
    const { clientId } = following;
    const known = this.#host.equipment.sessionOf(socket);
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
    if (client.session) membership.join([socket], client.session);
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
    const { clients, membership, failed } = this.#host;
    this.#read(known).then((record) => {
      const now = clients.client(known.clientId)?.session;
      if (now && now !== known) return this.#readmit(now, sockets);
      if (!record) return;
      // whom they would have joined is gone
      if (!now) return this.began(known, record);
      const admitted = this.#admission!.readmit(sockets, record);
      membership.join(admitted, known);
      for (const socket of admitted) socket.emit("session:start");
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
    feed.entered(known, sockets, this.#host.equipment.lateContext(sockets[0]!));
  }

  /**
   * A socket that was recovered went past the handshake.
   *
   * @returns whether it was told that its session ended
   */
  #recovered(socket: Socket): boolean {
    const known = this.#gate.admitted(socket.id);
    if (known) {
      this.#host.equipment.equip(socket, known.clientId, known);
      // it ended between the gate and here
      if (this.#host.equipment.sessionOf(socket)) return false;
      this.#host.membership.leave([socket], known);
      tellEnd(socket, "revoked", this.#host.onSessionEnd);
      if (this.#host.onSessionEnd !== "keep") socket.disconnect();
      return true;
    }
    this.#host.equipment.equip(socket, this.#cameFrom(socket), undefined);
    return false;
  }

  /** Nobody is there to be told that `externalKey.get` failed: such a socket is a guest. */
  #cameFrom(socket: Socket): string | undefined {
    try {
      return this.#host.ids(socket).client.genuine();
    } catch (error) {
      this.#host.failed(error);
      return undefined;
    }
  }

  /** A login may have happened between the handshake and the connection. */
  #lookAgain(client: Client<Socket>, socket: Socket): void {
    const { transactions, clients, equipment, bindings } = this.#host;
    transactions.lookup.ofClient(client.id).then((own) => {
      if (!own || client.session || clients.client(client.id) !== client) {
        return;
      }
      const { validity } = bindings;
      if (validity?.ask(equipment.contextOf(socket), own.record) === false) {
        return;
      }
      const known = this.#host.known(own.sid, own.record);
      if (known && !client.session) this.began(known, own.record);
    }).catch(() => {
      // a guest stays one: its next event, or login, asks the store again
    });
  }

  async #standing(hash: string): Promise<Known | undefined> {
    const { clients, transactions, byHash, known } = this.#host;
    const sid = clients.byHash(hash)?.sid ?? await byHash(hash);
    if (sid === undefined) return undefined;
    const record = await transactions.lookup.load(sid);
    if (!isAlive(record)) return undefined;
    return known(sid, record);
  }

  /** Puts all sockets of a client into a session. */
  #enter(client: Client<Socket>, known: Known): void {
    this.#host.clients.enter(client, known);
    this.#host.membership.join(client.sockets, known);
  }

  /** Takes all sockets of a client out of its session. */
  #quit(client: Client<Socket>, known: Known): void {
    client.session = undefined;
    this.#host.membership.leave(client.sockets, known, client.id);
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
      const known = this.#host.equipment.sessionOf(socket);
      if (!known) return;
      transactions.lookup.touch(
        known.sid,
        known.maxAge,
        this.#host.equipment.lateContext(socket),
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
