/**
 * What happens when a socket connects: it enters the session of its handshake,
 * or follows its client as a guest.
 *
 * @module
 */
import type { Socket } from "socket.io";
import { isAlive, type StoredRecord } from "../api/store.ts";
import type { TrackedClient, TrackedSession } from "../identity/registry.ts";
import type { Admission } from "./admission.ts";
import { emitTo, sendSessionNone, sendSessionStart } from "./client_events.ts";
import { type HandshakeDeps, handshakeIds } from "./handshake.ts";
import type { Membership, MembershipDeps } from "./membership.ts";
import type { Reconnects } from "./reconnects.ts";
import type { RecoveryGate } from "./recovery.ts";
import type { SessionEndPolicy } from "./session_end.ts";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";

/** What connections need. */
export interface ConnectionDeps extends HandshakeDeps, MembershipDeps {
  failed(error: unknown): void;
}

/** The parts that connections work with. */
export interface ConnectionParts {
  readonly membership: Membership;
  readonly reconnects: Reconnects;
  readonly recovery: RecoveryGate;
  readonly endPolicy: SessionEndPolicy;
  /** Present with the option `valid`. */
  readonly admission: Admission | undefined;
  /** A session of a client was found; it may have begun after the handshake of its sockets. */
  found(session: TrackedSession, record: StoredRecord): void;
}

/** Connects sockets with sessions. */
export class Connections {
  readonly #deps: ConnectionDeps;
  readonly #parts: ConnectionParts;
  /** Sockets that brought the session cookie of one client and the client cookie of another, by session id. */
  readonly #mismatched = new Map<string, Set<Socket>>();

  constructor(deps: ConnectionDeps, parts: ConnectionParts) {
    this.#deps = deps;
    this.#parts = parts;
  }

  /** A socket connected. */
  connected(socket: BridgedSocket): void {
    const endSent = !socket[SOCKET_STATE] && this.#extendRecovered(socket);
    // its session ended before it was connected, and it was disconnected
    if (!socket.connected) return;
    const state = socket[SOCKET_STATE];
    if (state?.clientId === undefined) {
      if (state?.mismatched !== undefined) {
        this.#keepMismatched(state.mismatched, socket);
      }
      return sendSessionNone(socket, false);
    }
    const session = this.#deps.extension.sessionOf(socket);
    const client = this.#deps.registry.addSocket(state.clientId, socket);
    state.client = client;
    const { session: current } = client;
    if (session && (!current || current === session)) {
      return this.#enter(client, session, socket);
    }
    if (!current) {
      if (!endSent) sendSessionNone(socket, true);
      return this.#checkForSession(client, socket);
    }
    const { membership, admission } = this.#parts;
    membership.keepOutside(client, socket);
    if (!membership.mayFollow(socket, current)) {
      if (!endSent) sendSessionNone(socket, true);
      return this.heal(client, socket);
    }
    if (admission) return this.admit(current, [socket]);
    membership.enterAlone(client, socket);
    emitTo(socket, "session:start");
    membership.entered(current, [socket]);
  }

  /** A socket disconnected. */
  disconnected(socket: BridgedSocket): void {
    const { membership, reconnects, endPolicy } = this.#parts;
    const state = socket[SOCKET_STATE];
    reconnects.forget(socket);
    endPolicy.forget(socket);
    if (state?.mismatched !== undefined) {
      const sockets = this.#mismatched.get(state.mismatched);
      sockets?.delete(socket);
      if (sockets?.size === 0) this.#mismatched.delete(state.mismatched);
    }
    if (state?.client) membership.remove(state.client, socket);
  }

  /** The sockets that brought this session's cookie and another client's; returned once. */
  takeMismatched(sid: string): readonly Socket[] {
    const sockets = [...this.#mismatched.get(sid) ?? []];
    this.#mismatched.delete(sid);
    return sockets;
  }

  /** Makes a guest reconnect, as its client has a session. */
  heal({ id }: TrackedClient, guest: Socket): void {
    const { lookup } = this.#deps.transactions;
    this.#parts.reconnects.heal(
      id,
      guest,
      (socket) => {
        const { client } = (socket as BridgedSocket)[SOCKET_STATE] ?? {};
        return client?.id === id && !client.isMember(socket);
      },
      // the registry has no session of a client whose sockets are all guests
      async () => await lookup.ofClient(id) !== undefined,
    );
  }

  /** Asks `valid` about guests of a session, and lets those enter that it accepts. */
  admit(session: TrackedSession, sockets: readonly Socket[]): void {
    const { registry, failed } = this.#deps;
    const { membership, admission, found } = this.#parts;
    this.#read(session).then((record) => {
      const client = registry.client(session.clientId);
      if (!client) return;
      const { session: current } = client;
      if (current && current !== session) return this.admit(current, sockets);
      if (!record) return;
      // the sockets that were in the session have disconnected
      if (!current) return found(session, record);
      const admitted = sockets.filter((socket) =>
        client.guests?.has(socket) && admission!.accepts(socket, record)
      );
      for (const socket of admitted) {
        membership.enterAlone(client, socket);
        emitTo(socket, "session:start");
      }
      membership.entered(session, admitted);
    }).catch(failed);
  }

  /** Enters the session that the handshake found. */
  #enter(
    client: TrackedClient,
    session: TrackedSession,
    socket: Socket,
  ): void {
    const { membership, reconnects, admission } = this.#parts;
    let entering: readonly Socket[] = [socket];
    if (client.session) membership.enterAlone(client, socket);
    else {
      const others = client.sockets.filter((other) => other !== socket);
      const followers = others
        .filter((other) => membership.mayFollow(other, session));
      if (!admission) entering = [...followers, socket];
      const guests = client.sockets
        .filter((other) => !entering.includes(other));
      membership.enter(client, session, guests);
      for (const other of others) {
        if (!followers.includes(other)) this.heal(client, other);
      }
      if (admission && followers.length > 0) this.admit(session, followers);
    }
    for (const other of entering) {
      if (other !== socket) emitTo(other, "session:start");
    }
    sendSessionStart(socket);
    membership.entered(session, entering);
    reconnects.healed(client.id);
  }

  async #read(session: TrackedSession): Promise<StoredRecord | undefined> {
    const { registry, transactions } = this.#deps;
    const record = await transactions.lookup.load(session.sid);
    const lives = isAlive(record) && registry.tracked(session.sid) === session;
    return lives ? record : undefined;
  }

  /**
   * Extends a recovered socket, as recovery bypasses the handshake.
   *
   * @returns whether `session:end` was sent to it
   */
  #extendRecovered(socket: Socket): boolean {
    const { extension, rooms } = this.#deps;
    const { recovery, endPolicy } = this.#parts;
    const session = recovery.admitted(socket.id);
    if (session) {
      extension.extend(socket, session.clientId, session);
      // it may have ended since the gate admitted the socket
      if (extension.sessionOf(socket)) return false;
      rooms.leave([socket]);
      endPolicy.applyAtOnce(socket, "revoked");
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

  /** Looks up the client's session: it may have begun since the handshake, or on another node. */
  #checkForSession(client: TrackedClient, socket: Socket): void {
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
      if (session && !client.session) this.#parts.found(session, own.record);
    }).catch(() => {
      // it stays a guest: its next event, or a login, asks the store again
    });
  }

  #keepMismatched(sid: string, socket: Socket): void {
    const sockets = this.#mismatched.get(sid);
    if (sockets) sockets.add(socket);
    else this.#mismatched.set(sid, new Set([socket]));
  }
}
