/**
 * What the bridge adds to a socket: `clientId`, `sessionId`, `withSession` and
 * `ctx`.
 *
 * @module
 */
import type { Clients, Known } from "./clients.ts";
import { type Followed, FOLLOWING } from "./following.ts";
import type { Transactions } from "./transaction.ts";
import type { Socket } from "socket.io";

/** See the module's text. */
export class Equipment {
  readonly #clients: Clients<Socket>;
  readonly #transactions: Transactions;
  readonly #makeContext: (socket: Socket) => object;
  readonly #contexts = new WeakMap<Socket, object>();
  /** The same for all sockets: an accessor of its own would give each a hidden class. */
  readonly #members: readonly [name: string, member: PropertyDescriptor][];

  /** @param makeContext makes a Koa context of a handshake */
  constructor(
    clients: Clients<Socket>,
    transactions: Transactions,
    makeContext: (socket: Socket) => object,
  ) {
    this.#clients = clients;
    this.#transactions = transactions;
    this.#makeContext = makeContext;
    this.#members = Object.entries(this.#describe());
  }

  /** Equips a socket, which is not yet connected. */
  equip(
    socket: Followed,
    clientId: string | undefined,
    known: Known | undefined,
  ): void {
    socket[FOLLOWING] = { clientId, known, client: undefined };
    for (const [name, member] of this.#members) {
      Object.defineProperty(socket, name, member);
    }
  }

  /** The session of a socket now, whether it is connected yet, still, or no more. */
  sessionOf(socket: Followed): Known | undefined {
    const following = socket[FOLLOWING];
    const known = following?.client
      ? following.client.session
      : following?.known;
    const lives = known && this.#clients.get(known.sid) === known &&
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
  lateContext(socket: Socket): unknown {
    return this.#transactions.wantsContext ? this.contextOf(socket) : undefined;
  }

  #describe(): PropertyDescriptorMap {
    const sessionOf = (socket: Followed) => this.sessionOf(socket);
    const contextOf = (socket: Followed) => this.contextOf(socket);
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

  #withSession(socket: Socket, args: unknown[]): Promise<unknown> {
    const known = this.sessionOf(socket);
    return this.#transactions.run(known?.sid, args, {
      socket,
      clientId: known?.clientId,
      ctx: this.lateContext(socket),
      touch: true,
    });
  }
}
