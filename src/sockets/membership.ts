/**
 * Which of a client's sockets are in its session.
 *
 * @module
 */
import type { Socket } from "socket.io";
import type {
  SessionRegistry,
  TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { SessionRooms } from "./rooms.ts";
import {
  type BridgedSocket,
  SOCKET_STATE,
  type SocketExtension,
} from "./socket_extension.ts";
import { handshakeTime } from "./socket_io.ts";
import type { ViewPublisher } from "./view_publisher.ts";

/** What the membership of sockets needs. */
export interface MembershipDeps {
  readonly registry: SessionRegistry;
  readonly transactions: Transactions;
  readonly extension: SocketExtension;
  readonly rooms: SessionRooms;
  /** There only with the option `view` or `expiringNotice`. */
  readonly views: ViewPublisher | undefined;
}

/** Puts sockets into sessions and takes them out, with rooms and views. */
export class Membership {
  readonly #deps: MembershipDeps;

  constructor(deps: MembershipDeps) {
    this.#deps = deps;
  }

  /**
   * Whether a socket may enter a session by its client id: one that began after
   * its handshake. With `onUserChange: "reconnect"` none may.
   */
  mayFollow(socket: Socket, { created }: TrackedSession): boolean {
    return !this.#deps.transactions.reconnects && created !== undefined &&
      created >= handshakeTime(socket);
  }

  /**
   * Puts the sockets of a client into a session.
   *
   * @param guests the sockets that stay outside
   */
  enter(
    client: TrackedClient,
    session: TrackedSession,
    guests: readonly Socket[] = [],
  ): void {
    this.#deps.registry.joinSession(client, session, guests);
    this.#deps.rooms.join(client.members, session);
  }

  /** Puts a further socket of a client into its session. */
  enterAlone(client: TrackedClient, socket: Socket): void {
    client.guests?.delete(socket);
    this.#deps.rooms.join([socket], client.session!);
  }

  /** Leaves a socket outside its client's session. */
  keepOutside(client: TrackedClient, socket: Socket): void {
    (client.guests ??= new Set()).add(socket);
  }

  /**
   * Takes all sockets of a client out of its session.
   *
   * @returns those that were in it
   */
  leave(client: TrackedClient): readonly Socket[] {
    const members = [...client.members];
    this.#deps.registry.leaveSession(client);
    this.#deps.rooms.leave(members);
    return members;
  }

  /** Makes a socket, which is in no session, follow another client. */
  follow(socket: BridgedSocket, clientId: string): TrackedClient {
    const state = socket[SOCKET_STATE]!;
    this.detach(socket);
    state.clientId = clientId;
    return state.client = this.#deps.registry.addSocket(clientId, socket);
  }

  /** Makes a socket follow no client. */
  detach(socket: BridgedSocket): void {
    const state = socket[SOCKET_STATE];
    if (!state) return;
    const { client } = state;
    state.client = state.session = undefined;
    if (!client) return;
    this.#deps.rooms.leave([socket]);
    this.remove(client, socket);
  }

  /** Removes a socket from its client. */
  remove(client: TrackedClient, socket: Socket): void {
    const { session } = client;
    this.#deps.registry.removeSocket(client, socket);
    if (session && client.members.length === 0) {
      this.#deps.views?.onLeave(session);
      // guests alone keep no session in use
      if (client.sockets.length > 0) this.#deps.registry.leaveSession(client);
    }
  }

  /** Sockets have entered a session: shows them its view. */
  entered(session: TrackedSession, sockets: readonly Socket[]): void {
    const { views, extension } = this.#deps;
    if (!views || sockets.length === 0) return;
    views.onJoin(session, sockets, extension.contextIfNeeded(sockets[0]!));
  }
}
