/**
 * The Socket.IO side: reacts when a session starts, rotates, moves to another
 * client or ends, and keeps the sockets of each client in step.
 *
 * @module
 */
import type { Server, Socket } from "socket.io";
import type { EndReason } from "../api/events.ts";
import type { OnSessionEnd } from "../api/options.ts";
import {
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import type { TrackedClient, TrackedSession } from "../identity/registry.ts";
import type {
  Occasion,
  SocketRotation,
} from "../transaction/session_observer.ts";
import { ActivityMonitor } from "./activity.ts";
import { Admission } from "./admission.ts";
import { emitTo } from "./client_events.ts";
import { type ConnectionDeps, Connections } from "./connections.ts";
import { handshakeMiddleware } from "./handshake.ts";
import { Membership } from "./membership.ts";
import { NamespaceHooks } from "./namespaces.ts";
import { Reconnects } from "./reconnects.ts";
import { type RecoveryDeps, RecoveryGate } from "./recovery.ts";
import { SessionEndPolicy } from "./session_end.ts";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";

/** What the socket side needs. */
export interface SocketDeps extends ConnectionDeps, RecoveryDeps {
  readonly onSessionEnd: OnSessionEnd;
  readonly touchInterval: number | false;
}

/** Keeps sockets in step with the sessions of their clients. */
export class SocketSessions {
  readonly #deps: SocketDeps;
  readonly #hooks: NamespaceHooks;
  readonly #activity: ActivityMonitor;
  readonly #membership: Membership;
  readonly #reconnects: Reconnects;
  readonly #connections: Connections;
  /** There only with the option `valid`. */
  readonly #admission: Admission | undefined;
  readonly #endPolicy: SessionEndPolicy;

  constructor(io: Server, deps: SocketDeps) {
    this.#deps = deps;
    this.#activity = new ActivityMonitor(deps);
    this.#endPolicy = new SessionEndPolicy(
      deps.onSessionEnd,
      (socket) => deps.extension.sessionOf(socket) !== undefined,
      deps.failed,
    );
    const { validity } = deps.bindings;
    this.#admission = validity && new Admission(
      (socket, record) =>
        validity.check(deps.extension.contextOf(socket), record),
      deps.failed,
    );
    const recovery = new RecoveryGate(deps);
    this.#membership = new Membership(deps);
    this.#reconnects = new Reconnects(recovery, deps.failed);
    this.#connections = new Connections(deps, {
      membership: this.#membership,
      reconnects: this.#reconnects,
      recovery,
      endPolicy: this.#endPolicy,
      admission: this.#admission,
      found: (session, record) => this.onFound(session, record),
    });
    this.#hooks = new NamespaceHooks(io, {
      handshake: handshakeMiddleware(deps),
      onConnect: (socket) => {
        this.#activity.watch(socket);
        this.#connections.connected(socket);
      },
      onGone: (socket) => this.#connections.disconnected(socket),
      release: (socket) => this.#activity.release(socket),
      reconnect: (socket) => this.#reconnects.close([socket]),
      extension: deps.extension,
      rooms: deps.rooms,
      recovery,
      failed: deps.failed,
    });
  }

  /**
   * A session began. The sockets of its client enter it; with `onUserChange:
   * "reconnect"` they reconnect, and enter it by the session cookie.
   */
  onBegin(
    session: TrackedSession,
    record: SessionRecord | undefined,
    { request }: Occasion = {},
  ): void {
    const { registry, transactions } = this.#deps;
    const client = registry.client(session.clientId);
    if (!client || client.session === session) return;
    if (transactions.reconnects) {
      const guests = client.session
        ? client.sockets.filter((socket) => !client.isMember(socket))
        : [...client.sockets];
      for (const socket of guests) {
        emitTo(socket, "session:rotated", { sockets: "reconnect" });
      }
      this.#reconnect(guests, request);
      return;
    }
    this.#enter(session, record, () => true);
  }

  /**
   * A session was found that began earlier. Of the sockets of its client those
   * enter it whose handshake was before its beginning; the others reconnect.
   */
  onFound(session: TrackedSession, record?: SessionRecord): void {
    this.#enter(
      session,
      record,
      (socket) => this.#membership.mayFollow(socket, session),
    );
  }

  /** A session ended: its rooms are empty when this returns. */
  onEnd(
    session: TrackedSession,
    reason: EndReason,
    reconnect?: Occasion,
  ): void {
    const client = this.#deps.registry.client(session.clientId);
    if (!client) return;
    if (client.session === session) {
      const members = this.#membership.leave(client);
      if (reason === "rotated") return;
      for (const socket of members) this.#endPolicy.apply(socket, reason);
    }
    if (reconnect) this.#reconnect([...client.sockets], reconnect.request);
  }

  /** A session continues under a new id. */
  onRotate(
    from: TrackedSession,
    to: TrackedSession,
    sockets: SocketRotation,
    { userChange, request }: Occasion = {},
  ): void {
    const client = this.#deps.registry.client(from.clientId);
    if (!client) return;
    const isCurrent = client.session === from;
    if (sockets === "follow") {
      if (isCurrent) this.#follow(client, from, to);
      return;
    }
    const members = isCurrent ? this.#membership.leave(client) : [];
    const isLogout = userChange?.from !== undefined;
    for (const socket of members) {
      if (isLogout) this.#endPolicy.apply(socket, "logout");
      else emitTo(socket, "session:rotated", { sockets });
    }
    if (sockets === "reconnect") {
      this.#reconnect([...client.sockets], request);
    }
  }

  /**
   * A session was bound to another client: the sockets that presented its
   * cookie move along. Those that entered it by their client cookie reconnect,
   * and enter it again if their browser has its cookie.
   */
  onRebind(fromClient: string, session: TrackedSession): void {
    const { registry } = this.#deps;
    const before = registry.client(fromClient);
    const members = before?.session === session
      ? this.#membership.leave(before)
      : [];
    const moving = members.filter((socket: BridgedSocket) =>
      socket[SOCKET_STATE]!.presented
    );
    const leaving = members.filter((socket) => !moving.includes(socket));
    const others = registry.client(session.clientId)?.sockets ?? [];
    const guests = [...others];
    if (moving.length > 0) {
      for (const socket of moving) {
        this.#membership.follow(socket, session.clientId);
      }
      const client = registry.client(session.clientId)!;
      if (client.session) this.#membership.leave(client);
      this.#membership.enter(client, session, guests);
    }
    for (const guest of guests) {
      this.#connections.heal(registry.client(session.clientId)!, guest);
    }
    for (const socket of leaving) {
      emitTo(socket, "session:rotated", { sockets: "reconnect" });
    }
    this.#reconnect(leaving, undefined);
  }

  /** A request corrects the client cookie of a browser, one of whose sockets was refused by it. */
  onCorrected(sid: string, { request }: Occasion): void {
    const sockets = this.#connections.takeMismatched(sid);
    if (sockets.length > 0) this.#reconnect(sockets, request);
  }

  /** The user of a session changed. */
  onUserChange(session: TrackedSession, before: string | undefined): void {
    const { registry, rooms } = this.#deps;
    const client = registry.client(session.clientId);
    if (client?.session !== session) return;
    rooms.changeUser(client.members, before, session.user);
  }

  close(): void {
    this.#hooks.close();
    this.#activity.close();
    this.#endPolicy.close();
    this.#reconnects.stop();
  }

  #follow(
    client: TrackedClient,
    from: TrackedSession,
    to: TrackedSession,
  ): void {
    const { registry, rooms } = this.#deps;
    const guests = [...client.guests ?? []];
    rooms.leaveFormer(client.members, from, to);
    registry.leaveSession(client);
    this.#membership.enter(client, to, guests);
    for (const socket of client.members) {
      emitTo(socket, "session:rotated", { sockets: "follow" });
    }
  }

  /** Lets the sockets of a client into a session, except those that have to reconnect. */
  #enter(
    session: TrackedSession,
    record: SessionRecord | undefined,
    mayEnter: (socket: Socket) => boolean,
  ): void {
    const client = this.#deps.registry.client(session.clientId);
    if (!client || client.session) return;
    const admission = this.#admission;
    if (admission && !record) return this.#enterWithRecord(session, mayEnter);
    const accepted = admission
      ? client.sockets.filter((socket) => admission.accepts(socket, record!))
      : [...client.sockets];
    const entering = accepted.filter(mayEnter);
    if (entering.length > 0) {
      const guests = client.sockets
        .filter((socket) => !entering.includes(socket));
      this.#membership.enter(client, session, guests);
      for (const socket of entering) emitTo(socket, "session:start");
      this.#membership.entered(session, entering);
    }
    // a socket that `valid` refuses would be refused again
    for (const socket of accepted) {
      if (!entering.includes(socket)) this.#connections.heal(client, socket);
    }
  }

  /** As `#enter`, for a session whose record has to be read first. */
  #enterWithRecord(
    session: TrackedSession,
    mayEnter: (socket: Socket) => boolean,
  ): void {
    const { registry, transactions, failed } = this.#deps;
    const read = async (): Promise<StoredRecord | undefined> =>
      await transactions.lookup.load(session.sid);
    read().then((record) => {
      if (!isAlive(record) || registry.tracked(session.sid) !== session) return;
      this.#enter(session, record, mayEnter);
    }).catch(failed);
  }

  /** Takes sockets from their client at once, and closes their connections once the response has its headers. */
  #reconnect(
    sockets: readonly Socket[],
    request: Occasion["request"],
  ): void {
    if (sockets.length === 0) return;
    for (const socket of sockets) this.#membership.detach(socket);
    const close = () => this.#reconnects.close(sockets);
    if (request) request.afterHeaders(close);
    else close();
  }
}
