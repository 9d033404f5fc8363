/**
 * The Socket.IO side: connects sockets with the sessions of their registry, and
 * reacts when a session starts, rotates, moves to another client or ends.
 *
 * @module
 */
import type { Server, Socket } from "socket.io";
import { ActivityMonitor } from "./activity.ts";
import { Admission } from "./admission.ts";
import type {
  SessionRegistry,
  TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import type { EndReason } from "../api/events.ts";
import type { ViewPublisher } from "./view_publisher.ts";
import { emitTo, sendSessionNone, sendSessionStart } from "./client_events.ts";
import {
  type HandshakeDeps,
  handshakeIds,
  handshakeMiddleware,
} from "./handshake.ts";
import { NamespaceHooks } from "./namespaces.ts";
import type { SessionRooms } from "./rooms.ts";
import type { OnSessionEnd } from "../api/options.ts";
import { type RecoveryDeps, RecoveryGate } from "./recovery.ts";
import { SessionEndPolicy } from "./session_end.ts";
import {
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";

/** What the socket side needs. */
export interface SocketDeps extends HandshakeDeps, RecoveryDeps {
  readonly rooms: SessionRooms;
  readonly onSessionEnd: OnSessionEnd;
  readonly touchInterval: number | false;
  /** There only with the option `view` or `expiringNotice`. */
  readonly views: ViewPublisher | undefined;
  failed(error: unknown): void;
}

/** Keeps the sockets of each client in the session of that client. */
export class SocketSessions {
  readonly #deps: SocketDeps;
  readonly #recovery: RecoveryGate;
  readonly #hooks: NamespaceHooks;
  readonly #activity: ActivityMonitor;
  /** There only with the option `valid`. */
  readonly #admission: Admission | undefined;
  readonly #endPolicy: SessionEndPolicy;

  constructor(io: Server, deps: SocketDeps) {
    this.#deps = deps;
    this.#activity = new ActivityMonitor(deps);
    this.#endPolicy = new SessionEndPolicy(deps.onSessionEnd);
    const { validity } = deps.bindings;
    this.#admission = validity && new Admission(
      deps.registry,
      (socket, record) =>
        validity.check(deps.extension.contextOf(socket), record),
      deps.failed,
    );
    this.#recovery = new RecoveryGate(deps);
    this.#hooks = new NamespaceHooks(io, {
      handshake: handshakeMiddleware(deps),
      onConnect: (socket) => this.#connected(socket),
      onGone: (socket) => this.#disconnected(socket),
      release: (socket) => this.#activity.release(socket),
      extension: deps.extension,
      rooms: deps.rooms,
      recovery: this.#recovery,
    });
  }

  /** A session began: the sockets of its client are in it from now on. */
  onStart(session: TrackedSession, record?: SessionRecord): void {
    const { registry } = this.#deps;
    const { clientId } = session;
    if (this.#admission && registry.client(clientId)?.session !== session) {
      if (!record) return this.#startWithoutRecord(session);
      const before = registry.client(clientId);
      if (before?.session) this.#leave(before, before.session);
      this.#admission.admitAll(clientId, record);
    }
    const client = registry.client(clientId);
    if (!client || client.session === session) return;
    this.#join(client, session);
    for (const socket of client.sockets) emitTo(socket, "session:start");
    this.#joined(session, [...client.sockets]);
  }

  /** A session ended: its rooms are empty when this returns. */
  onEnd(session: TrackedSession, reason: EndReason): void {
    const client = this.#deps.registry.client(session.clientId);
    if (client?.session !== session) return;
    this.#leave(client, session);
    if (reason === "rotated") return;
    for (const socket of [...client.sockets]) {
      this.#endPolicy.apply(socket, client, reason);
    }
  }

  /** A session continues under a new id. */
  onRotate(
    from: TrackedSession,
    to: TrackedSession,
    sockets: "follow" | "leave",
  ): void {
    const client = this.#deps.registry.client(from.clientId);
    if (client?.session !== from) return;
    if (sockets === "leave") this.#leave(client, from);
    else {
      client.session = undefined;
      this.#deps.rooms.leaveSessionRoom(client.sockets, from);
      this.#join(client, to);
    }
    for (const socket of client.sockets) {
      emitTo(socket, "session:rotated", { sockets });
    }
  }

  /** A session was bound to another client. */
  onRebind(
    fromClient: string,
    session: TrackedSession,
    record: SessionRecord,
  ): void {
    const client = this.#deps.registry.client(fromClient);
    if (client?.session === session) this.#leave(client, session);
    this.onStart(session, record);
  }

  /** The user of a session changed. */
  onUserChange(session: TrackedSession, before: string | undefined): void {
    const { registry, rooms } = this.#deps;
    const client = registry.client(session.clientId);
    if (client?.session !== session) return;
    rooms.changeUser(client.sockets, before, session.user);
  }

  close(): void {
    this.#hooks.close();
    this.#activity.close();
    this.#endPolicy.close();
  }

  #connected(socket: BridgedSocket): void {
    const endSent = !socket[SOCKET_STATE] && this.#extendRecovered(socket);
    // its session ended before it was connected, and it was disconnected
    if (!socket.connected) return;
    const state = socket[SOCKET_STATE];
    if (state?.clientId === undefined) return sendSessionNone(socket, false);
    const { registry, rooms, extension } = this.#deps;
    const { clientId } = state;
    const session = extension.sessionOf(socket);
    this.#activity.watch(socket);
    let suspended: readonly Socket[] = [];
    if (this.#admission) {
      const current = registry.client(clientId)?.session;
      // not the session that `valid` was asked about for this socket
      if (current && current !== session) {
        this.#admission.suspend(socket);
        if (!endSent) sendSessionNone(socket, true);
        return this.#resume(current, [socket]);
      }
      if (session && !current) {
        suspended = this.#admission.suspendAll(clientId);
      }
    }
    const client = registry.addSocket(clientId, socket);
    state.client = client;
    if (!client.session && !session) {
      if (!endSent) sendSessionNone(socket, true);
      return this.#checkForLogin(client, socket);
    }
    // guests until now, that join the session together with this socket
    const guests = client.session ? [] : [...client.sockets];
    if (client.session) rooms.join([socket], client.session);
    else this.#join(client, session!);
    for (const guest of guests) {
      if (guest !== socket) emitTo(guest, "session:start");
    }
    sendSessionStart(socket);
    this.#joined(client.session!, guests.length > 0 ? guests : [socket]);
    if (suspended.length > 0) this.#resume(client.session!, suspended);
  }

  /** Asks `valid` about suspended sockets, and lets those join that it accepts. */
  #resume(session: TrackedSession, sockets: readonly Socket[]): void {
    const { registry, rooms, failed } = this.#deps;
    this.#read(session).then((record) => {
      const current = registry.client(session.clientId)?.session;
      if (current && current !== session) return this.#resume(current, sockets);
      if (!record) return;
      // the sockets that were in the session have disconnected
      if (!current) return this.onStart(session, record);
      const admitted = this.#admission!.resume(sockets, record);
      rooms.join(admitted, session);
      for (const socket of admitted) emitTo(socket, "session:start");
      this.#joined(session, admitted);
    }).catch(failed);
  }

  /** As `onStart`, for a session whose record has to be read first. */
  #startWithoutRecord(session: TrackedSession): void {
    const { registry, failed } = this.#deps;
    this.#read(session).then((record) => {
      if (record && !registry.client(session.clientId)?.session) {
        this.onStart(session, record);
      }
    }).catch(failed);
  }

  async #read(session: TrackedSession): Promise<StoredRecord | undefined> {
    const { registry, transactions } = this.#deps;
    const record = await transactions.lookup.load(session.sid);
    const lives = isAlive(record) && registry.tracked(session.sid) === session;
    return lives ? record : undefined;
  }

  #joined(session: TrackedSession, sockets: readonly Socket[]): void {
    const { views, extension } = this.#deps;
    if (!views || sockets.length === 0) return;
    views.onJoin(session, sockets, extension.contextIfNeeded(sockets[0]!));
  }

  /**
   * Extends a recovered socket, as recovery bypasses the handshake.
   *
   * @returns whether `session:end` was sent to it
   */
  #extendRecovered(socket: Socket): boolean {
    const { extension, rooms } = this.#deps;
    const session = this.#recovery.admitted(socket.id);
    if (session) {
      extension.extend(socket, session.clientId, session);
      // it may have ended since the gate admitted the socket
      if (extension.sessionOf(socket)) return false;
      rooms.leave([socket], session);
      this.#endPolicy.applyAtOnce(socket, "revoked");
      return true;
    }
    extension.extend(socket, this.#clientIdOf(socket), undefined);
    return false;
  }

  /** Where `externalKey.get` fails the socket is a guest: no caller could receive the error. */
  #clientIdOf(socket: Socket): string | undefined {
    try {
      return handshakeIds(this.#deps, socket).client.verified();
    } catch (error) {
      this.#deps.failed(error);
      return undefined;
    }
  }

  /** Reads the client's session once more: it may have logged in between the handshake and the connection. */
  #checkForLogin(client: TrackedClient, socket: Socket): void {
    const { transactions, registry, extension, bindings } = this.#deps;
    transactions.lookup.ofClient(client.id).then((own) => {
      if (!own || client.session || registry.client(client.id) !== client) {
        return;
      }
      const { validity } = bindings;
      if (validity?.check(extension.contextOf(socket), own.record) === false) {
        return;
      }
      const session = bindings.track(own.sid, own.record);
      if (session && !client.session) this.onStart(session, own.record);
    }).catch(() => {
      // it stays a guest: its next event, or a login, asks the store again
    });
  }

  /** Puts all sockets of a client into a session. */
  #join(client: TrackedClient, session: TrackedSession): void {
    this.#deps.registry.joinSession(client, session);
    this.#deps.rooms.join(client.sockets, session);
  }

  /** Takes all sockets of a client out of its session. */
  #leave(client: TrackedClient, session: TrackedSession): void {
    client.session = undefined;
    this.#deps.rooms.leave(client.sockets, session, client.id);
  }

  #disconnected(socket: BridgedSocket): void {
    const { registry, views } = this.#deps;
    const client = socket[SOCKET_STATE]?.client;
    if (!client) return this.#admission?.forget(socket);
    registry.removeSocket(client, socket);
    if (client.session && client.sockets.length === 0) {
      views?.onLeave(client.session);
    }
  }
}
