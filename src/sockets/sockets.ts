/**
 * The Socket.IO side: the handshake, `socket.*`, the rooms, and what becomes
 * of sockets when their session begins, moves or ends.
 *
 * @module
 */
import type { Namespace, Server, Socket } from "socket.io";
import { Admission } from "./admission.ts";
import type {
  SessionRegistry,
  TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import type { EndReason } from "../api/events.ts";
import type { ViewPublisher } from "./view_publisher.ts";
import { unref } from "../base/expiry_heap.ts";
import {
  emitTo,
  sendSessionEnd,
  sendSessionNone,
  sendSessionStart,
} from "./client_events.ts";
import { type HandshakeDeps, handshakeMiddleware } from "./handshake.ts";
import {
  addAnyListener,
  type Middleware,
  namespacesOf,
  prependMiddleware,
} from "./socket_io.ts";
import type { SessionRooms } from "./rooms.ts";
import type { OnSessionEnd } from "../api/options.ts";
import { RecoveryGate } from "./recovery.ts";
import {
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";

/** What the socket side needs from the others. */
export interface SocketDeps extends HandshakeDeps {
  readonly transactions: Transactions;
  readonly membership: SessionRooms;
  readonly onSessionEnd: OnSessionEnd;
  readonly touchInterval: number | false;
  readonly storeTimeout: number;
  /** Finds a session by the hash of its id, beyond what this process knows. */
  byHash(hash: string): Promise<string | undefined>;
  /** What is known of a live session, which may be met for the first time. */
  known(sid: string, record: StoredRecord): TrackedSession | undefined;
  /** Tells more than that sessions begin and end, where an option asks for it. */
  readonly feed: ViewPublisher | undefined;
  failed(error: unknown): void;
}

/** The Socket.IO half of the bridge. */
export class SocketSessions {
  readonly #host: SocketDeps;
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

  constructor(io: Server, host: SocketDeps) {
    this.#host = host;
    this.#activity = this.#listener() as () => void;
    this.#handshake = handshakeMiddleware(host);
    const { validity } = host.bindings;
    this.#admission = validity && new Admission(
      host.clients,
      (socket, record) =>
        validity.check(host.equipment.contextOf(socket), record),
      host.failed,
    );
    this.#gone = unfollowing(
      host.clients,
      this.#admission,
      (known) => host.feed?.onLeave(known),
    );
    this.#gate = new RecoveryGate(
      host.storeTimeout,
      (hash) => this.#standing(hash),
    );
    const install = (namespace: Namespace) => this.#install(namespace);
    for (const namespace of namespacesOf(io)) install(namespace);
    io.on("new_namespace", install);
    this.#undo.push(() => {
      io.off("new_namespace", install);
      for (const namespace of namespacesOf(io)) {
        this.#installed.get(namespace)?.();
      }
    });
  }

  /** A session began: the sockets of its client are in it from now on. */
  onStart(known: TrackedSession, record?: SessionRecord): void {
    const { clients } = this.#host;
    const { clientId } = known;
    if (this.#admission && clients.client(clientId)?.session !== known) {
      if (!record) return this.#beginLate(known);
      const before = clients.client(clientId);
      if (before?.session) this.#quit(before, before.session);
      this.#admission.admitAll(clientId, record);
    }
    const client = clients.client(clientId);
    if (!client || client.session === known) return;
    this.#enter(client, known);
    for (const socket of client.sockets) emitTo(socket, "session:start");
    this.#entered(known, [...client.sockets]);
  }

  /** A session ended: its rooms are empty when this returns. */
  onEnd(known: TrackedSession, reason: EndReason): void {
    const client = this.#host.clients.client(known.clientId);
    if (client?.session !== known) return;
    this.#quit(client, known);
    if (reason === "rotated") return;
    for (const socket of [...client.sockets]) {
      this.#tell(socket, client, reason);
    }
  }

  /** A session goes on under a new id. */
  onRotate(
    from: TrackedSession,
    to: TrackedSession,
    sockets: "follow" | "leave",
  ): void {
    const client = this.#host.clients.client(from.clientId);
    if (client?.session !== from) return;
    if (sockets === "leave") this.#quit(client, from);
    else {
      client.session = undefined;
      this.#host.membership.leaveSessionRoom(client.sockets, from);
      this.#enter(client, to);
    }
    for (const socket of client.sockets) {
      emitTo(socket, "session:rotated", { sockets });
    }
  }

  /** A session was settled on another client than the one it was bound to. */
  onRebind(
    fromClient: string,
    known: TrackedSession,
    record: SessionRecord,
  ): void {
    const client = this.#host.clients.client(fromClient);
    if (client?.session === known) this.#quit(client, known);
    this.onStart(known, record);
  }

  /** A session belongs to somebody else now. */
  onUserChange(known: TrackedSession, before: string | undefined): void {
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
    const onConnect = (socket: Socket) => this.#connected(socket);
    const removeMiddleware = prependMiddleware(namespace, this.#handshake);
    namespace.prependListener("connect", onConnect);
    const unguard = this.#gate.guard(
      namespace,
      (adapter) => this.#host.membership.enableFor(adapter),
    );
    this.#installed.set(namespace, () => {
      removeMiddleware();
      namespace.off("connect", onConnect);
      unguard();
    });
  }

  #connected(socket: BridgedSocket): void {
    const told = !socket[SOCKET_STATE] && this.#recovered(socket);
    // its session ended meanwhile, and the socket with it
    if (!socket.connected) return;
    const following = socket[SOCKET_STATE];
    if (following?.clientId === undefined) {
      return sendSessionNone(socket, false);
    }
    const { clients, membership } = this.#host;
    const { clientId } = following;
    const known = this.#host.equipment.sessionOf(socket);
    socket.on("disconnect", this.#gone);
    if (this.#host.touchInterval !== false) {
      addAnyListener(socket, this.#activity);
    }
    let aside: readonly Socket[] = [];
    if (this.#admission) {
      const now = clients.client(clientId)?.session;
      // another session than `valid` was asked about for this socket, if any
      if (now && now !== known) {
        this.#admission.suspend(socket);
        if (!told) sendSessionNone(socket, true);
        return this.#readmit(now, [socket]);
      }
      if (known && !now) aside = this.#admission.suspendAll(clientId);
    }
    const client = clients.addSocket(clientId, socket);
    following.client = client;
    if (!client.session && !known) {
      if (!told) sendSessionNone(socket, true);
      return this.#lookAgain(client, socket);
    }
    // guests until now, whom this one takes along
    const guests = client.session ? [] : [...client.sockets];
    if (client.session) membership.join([socket], client.session);
    else this.#enter(client, known!);
    for (const guest of guests) {
      if (guest !== socket) emitTo(guest, "session:start");
    }
    sendSessionStart(socket);
    this.#entered(client.session!, guests.length > 0 ? guests : [socket]);
    if (aside.length > 0) this.#readmit(client.session!, aside);
  }

  /** Asks `valid` about sockets that were put aside. */
  #readmit(known: TrackedSession, sockets: readonly Socket[]): void {
    const { clients, membership, failed } = this.#host;
    this.#read(known).then((record) => {
      const now = clients.client(known.clientId)?.session;
      if (now && now !== known) return this.#readmit(now, sockets);
      if (!record) return;
      // whom they would have joined is gone
      if (!now) return this.onStart(known, record);
      const admitted = this.#admission!.resume(sockets, record);
      membership.join(admitted, known);
      for (const socket of admitted) emitTo(socket, "session:start");
      this.#entered(known, admitted);
    }).catch(failed);
  }

  /** As `began`, for a session whose record is not at hand. */
  #beginLate(known: TrackedSession): void {
    const { clients, failed } = this.#host;
    this.#read(known).then((record) => {
      if (record && !clients.client(known.clientId)?.session) {
        this.onStart(known, record);
      }
    }).catch(failed);
  }

  async #read(known: TrackedSession): Promise<StoredRecord | undefined> {
    const { clients, transactions } = this.#host;
    const record = await transactions.lookup.load(known.sid);
    const lives = isAlive(record) && clients.tracked(known.sid) === known;
    return lives ? record : undefined;
  }

  #entered(known: TrackedSession, sockets: readonly Socket[]): void {
    const { feed } = this.#host;
    if (!feed || sockets.length === 0) return;
    feed.onJoin(
      known,
      sockets,
      this.#host.equipment.contextIfNeeded(sockets[0]!),
    );
  }

  /**
   * A socket that was recovered went past the handshake.
   *
   * @returns whether it was told that its session ended
   */
  #recovered(socket: Socket): boolean {
    const known = this.#gate.admitted(socket.id);
    if (known) {
      this.#host.equipment.extend(socket, known.clientId, known);
      // it ended between the gate and here
      if (this.#host.equipment.sessionOf(socket)) return false;
      this.#host.membership.leave([socket], known);
      sendSessionEnd(socket, "revoked", this.#host.onSessionEnd);
      if (this.#host.onSessionEnd !== "keep") socket.disconnect();
      return true;
    }
    this.#host.equipment.extend(socket, this.#cameFrom(socket), undefined);
    return false;
  }

  /** Nobody is there to be told that `externalKey.get` failed: such a socket is a guest. */
  #cameFrom(socket: Socket): string | undefined {
    try {
      return this.#host.ids(socket).client.verified();
    } catch (error) {
      this.#host.failed(error);
      return undefined;
    }
  }

  /** A login may have happened between the handshake and the connection. */
  #lookAgain(client: TrackedClient<Socket>, socket: Socket): void {
    const { transactions, clients, equipment, bindings } = this.#host;
    transactions.lookup.ofClient(client.id).then((own) => {
      if (!own || client.session || clients.client(client.id) !== client) {
        return;
      }
      const { validity } = bindings;
      if (validity?.check(equipment.contextOf(socket), own.record) === false) {
        return;
      }
      const known = this.#host.known(own.sid, own.record);
      if (known && !client.session) this.onStart(known, own.record);
    }).catch(() => {
      // a guest stays one: its next event, or login, asks the store again
    });
  }

  async #standing(hash: string): Promise<TrackedSession | undefined> {
    const { clients, transactions, byHash, known } = this.#host;
    const sid = clients.byHash(hash)?.sid ?? await byHash(hash);
    if (sid === undefined) return undefined;
    const record = await transactions.lookup.load(sid);
    if (!isAlive(record)) return undefined;
    return known(sid, record);
  }

  /** Puts all sockets of a client into a session. */
  #enter(client: TrackedClient<Socket>, known: TrackedSession): void {
    this.#host.clients.joinSession(client, known);
    this.#host.membership.join(client.sockets, known);
  }

  /** Takes all sockets of a client out of its session. */
  #quit(client: TrackedClient<Socket>, known: TrackedSession): void {
    client.session = undefined;
    this.#host.membership.leave(client.sockets, known, client.id);
  }

  #tell(
    socket: Socket,
    client: TrackedClient<Socket>,
    reason: EndReason,
  ): void {
    const { onSessionEnd } = this.#host;
    sendSessionEnd(socket, reason, onSessionEnd);
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
  #listener(): (this: BridgedSocket) => void {
    const { touchInterval, transactions, failed } = this.#host;
    const touch = (socket: BridgedSocket) => {
      const client = socket[SOCKET_STATE]?.client;
      const now = Date.now();
      if (!client || now - client.touched < (touchInterval as number)) return;
      client.touched = now;
      const known = this.#host.equipment.sessionOf(socket);
      if (!known) return;
      transactions.lookup.touch(
        known.sid,
        known.maxAge,
        this.#host.equipment.contextIfNeeded(socket),
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
  clients: SessionRegistry<Socket>,
  admission: Admission | undefined,
  left: (known: TrackedSession) => void,
): () => void {
  return function (this: BridgedSocket) {
    const client = this[SOCKET_STATE]?.client;
    if (!client) return admission?.forget(this);
    clients.removeSocket(client, this);
    if (client.session && client.sockets.length === 0) left(client.session);
  } as () => void;
}
