/**
 * The members that the bridge adds to a socket: `clientId`, `sessionId`,
 * `withSession`, `onSession` and `ctx`.
 *
 * @module
 */
import type {
  SessionRegistry,
  TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import { type SessionCall, sessionCall } from "../transaction/session_call.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { Socket } from "socket.io";
import { SessionEvents } from "./session_events.ts";

/** Adds the members of the bridge to sockets, and keeps their Koa contexts. */
export class SocketExtension {
  readonly #registry: SessionRegistry;
  readonly #transactions: Transactions;
  readonly #makeContext: (socket: Socket) => object;
  readonly #events: SessionEvents;
  readonly #contexts = new WeakMap<Socket, object>();
  /** Shared by all sockets: with accessors of its own, each socket would have its own hidden class. */
  readonly #members: readonly [name: string, member: PropertyDescriptor][];

  /**
   * @param makeContext makes the Koa context of a handshake
   * @param report receives errors of handlers, which no caller awaits; returns whether anybody listens
   */
  constructor(
    registry: SessionRegistry,
    transactions: Transactions,
    makeContext: (socket: Socket) => object,
    report: (error: unknown) => boolean,
  ) {
    this.#registry = registry;
    this.#transactions = transactions;
    this.#makeContext = makeContext;
    this.#events = new SessionEvents(
      (socket, call) => this.#run(socket, call),
      report,
    );
    this.#members = Object.entries(this.#describe());
  }

  /** Adds the members to a socket that is not yet connected. */
  extend(
    socket: BridgedSocket,
    clientId: string | undefined,
    session: TrackedSession | undefined,
    mismatched?: string,
  ): void {
    socket[SOCKET_STATE] = {
      clientId,
      session,
      client: undefined,
      presented: session !== undefined,
      mismatched,
    };
    for (const [name, member] of this.#members) {
      Object.defineProperty(socket, name, member);
    }
  }

  /** Whether a socket has the members: this extension's, not those of a bridge that was closed. */
  extends(socket: Socket): boolean {
    const [[name, member]] = this.#members as [[string, PropertyDescriptor]];
    return Object.getOwnPropertyDescriptor(socket, name)?.get === member.get;
  }

  /** The present session of a socket: before, during and after its connection. */
  sessionOf(socket: BridgedSocket): TrackedSession | undefined {
    const state = socket[SOCKET_STATE];
    const client = state?.client;
    const session = client
      ? client.isMember(socket) ? client.session : undefined
      : state?.session;
    const lives = session && this.#registry.tracked(session.sid) === session &&
      session.clientId === state?.clientId;
    return lives ? session : undefined;
  }

  /** The Koa context of a socket's handshake. */
  contextOf(socket: Socket): object {
    let ctx = this.#contexts.get(socket);
    if (!ctx) this.#contexts.set(socket, ctx = this.#makeContext(socket));
    return ctx;
  }

  /** The same for a store that reads contexts; `undefined` for others, as a context is large. */
  contextIfNeeded(socket: Socket): unknown {
    return this.#transactions.mayReadContext
      ? this.contextOf(socket)
      : undefined;
  }

  #describe(): PropertyDescriptorMap {
    const sessionOf = (socket: BridgedSocket) => this.sessionOf(socket);
    const contextOf = (socket: BridgedSocket) => this.contextOf(socket);
    const withSession = (socket: BridgedSocket, args: unknown[]) =>
      this.#withSession(socket, args);
    const events = this.#events;
    return {
      clientId: {
        configurable: true,
        get(this: BridgedSocket) {
          return this[SOCKET_STATE]?.clientId;
        },
      },
      sessionId: {
        configurable: true,
        get(this: BridgedSocket) {
          return sessionOf(this)?.sid;
        },
      },
      withSession: {
        configurable: true,
        // bound at access, so that it can be called without its socket
        get(this: BridgedSocket) {
          return (...args: unknown[]) => withSession(this, args);
        },
      },
      onSession: {
        configurable: true,
        writable: true,
        value(this: BridgedSocket, ...args: unknown[]) {
          events.listen(this, args);
          return this;
        },
      },
      ctx: {
        configurable: true,
        get(this: BridgedSocket) {
          return contextOf(this);
        },
      },
    };
  }

  #withSession(socket: Socket, args: unknown[]): Promise<unknown> {
    let call: SessionCall;
    try {
      call = sessionCall(args);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#run(socket, call);
  }

  #run(socket: Socket, call: SessionCall): Promise<unknown> {
    const session = this.sessionOf(socket);
    return this.#transactions.run(session?.sid, call, {
      socket,
      clientId: session?.clientId,
      ctx: this.contextIfNeeded(socket),
      touch: true,
    });
  }
}

/** The state that the bridge keeps of a socket. */
export interface SocketState {
  clientId: string | undefined;
  /** Its session until it is connected. */
  session: TrackedSession | undefined;
  /** The client that it follows while it is connected. */
  client: TrackedClient | undefined;
  /** Whether its handshake presented the cookie of its session. */
  readonly presented: boolean;
  /** The session whose cookie its handshake presented, with the client cookie of another client. */
  readonly mismatched: string | undefined;
}

/** The key of this state on a socket. */
export const SOCKET_STATE: unique symbol = Symbol("koa-io-session");

/** A socket with its state. */
export type BridgedSocket = Socket & { [SOCKET_STATE]?: SocketState };
