/**
 * What the bridge adds to a socket: `clientId`, `sessionId`, `withSession` and
 * `ctx`.
 *
 * @module
 */
import type {
  SessionRegistry,
  TrackedClient,
  TrackedSession,
} from "../identity/registry.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { Socket } from "socket.io";

/** See the module's text. */
export class SocketExtension {
  readonly #clients: SessionRegistry<Socket>;
  readonly #transactions: Transactions;
  readonly #makeContext: (socket: Socket) => object;
  readonly #contexts = new WeakMap<Socket, object>();
  /** The same for all sockets: an accessor of its own would give each a hidden class. */
  readonly #members: readonly [name: string, member: PropertyDescriptor][];

  /** @param makeContext makes a Koa context of a handshake */
  constructor(
    clients: SessionRegistry<Socket>,
    transactions: Transactions,
    makeContext: (socket: Socket) => object,
  ) {
    this.#clients = clients;
    this.#transactions = transactions;
    this.#makeContext = makeContext;
    this.#members = Object.entries(this.#describe());
  }

  /** Equips a socket, which is not yet connected. */
  extend(
    socket: BridgedSocket,
    clientId: string | undefined,
    known: TrackedSession | undefined,
  ): void {
    socket[SOCKET_STATE] = { clientId, known, client: undefined };
    for (const [name, member] of this.#members) {
      Object.defineProperty(socket, name, member);
    }
  }

  /** The session of a socket now, whether it is connected yet, still, or no more. */
  sessionOf(socket: BridgedSocket): TrackedSession | undefined {
    const following = socket[SOCKET_STATE];
    const known = following?.client
      ? following.client.session
      : following?.known;
    const lives = known && this.#clients.tracked(known.sid) === known &&
      known.clientId === following?.clientId;
    return lives ? known : undefined;
  }

  /** The Koa context of a socket's handshake. */
  contextOf(socket: Socket): object {
    let ctx = this.#contexts.get(socket);
    if (!ctx) this.#contexts.set(socket, ctx = this.#makeContext(socket));
    return ctx;
  }

  /** A context is large, and only stores that want one need it again after the handshake. */
  contextIfNeeded(socket: Socket): unknown {
    return this.#transactions.wantsContext ? this.contextOf(socket) : undefined;
  }

  #describe(): PropertyDescriptorMap {
    const sessionOf = (socket: BridgedSocket) => this.sessionOf(socket);
    const contextOf = (socket: BridgedSocket) => this.contextOf(socket);
    const withSession = (socket: BridgedSocket, args: unknown[]) =>
      this.#withSession(socket, args);
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
        // bound when it is asked for, so that it may be taken off its socket
        get(this: BridgedSocket) {
          return (...args: unknown[]) => withSession(this, args);
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
    const known = this.sessionOf(socket);
    return this.#transactions.run(known?.sid, args, {
      socket,
      clientId: known?.clientId,
      ctx: this.contextIfNeeded(socket),
      touch: true,
    });
  }
}

/** See the module's text. */
export interface SocketState {
  readonly clientId: string | undefined;
  /** Where it stands until it is connected. */
  known: TrackedSession | undefined;
  /** What it follows while it is connected. */
  client: TrackedClient<Socket> | undefined;
}

/** Where a socket keeps it. */
export const SOCKET_STATE: unique symbol = Symbol("koa-io-session");

/** A socket with what is kept of it. */
export type BridgedSocket = Socket & { [SOCKET_STATE]?: SocketState };
