/**
 * Which session a client has. A client id names a browser; a session is bound
 * to one client, provisionally by the request that begins it and for good by
 * the first one that brings its cookie back.
 *
 * @module
 */
import type SocketIO from "socket.io";
import type { SessionRegistry } from "./registry.ts";
import { generateUid } from "../base/ids.ts";
import { chain } from "../base/async.ts";
import {
  type Awaitable,
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";
import { toKoaSession } from "../stores/koa_session_object.ts";

/** What came with a request or a handshake, and what it amounts to. */
export interface BoundSession {
  /** The session to work with. */
  readonly sid: string | undefined;
  /** Its record; it may have expired a moment ago. */
  readonly record: StoredRecord | undefined;
  /** The client: the one that came, or the one that the session is settled on. */
  readonly clientId: string | undefined;
}

/** The client that a handshake names. */
export interface ClientClaim {
  /** Its id as it came, genuine or not. */
  readonly unverified: string | undefined;
  /** Its id, if it is genuine: verified when it is asked for. */
  verified(): string | undefined;
}

/** The length of a client id: 144 random bits. */
export const CLIENT_ID_LENGTH = 24;

/** See the module's text. */
export class ClientBindings<Socket = SocketIO.Socket> {
  /** There only with the option `valid`. */
  readonly validity: SessionValidity | undefined;
  readonly #transactions: Transactions;
  readonly #clients: SessionRegistry<Socket>;
  readonly #met: (sid: string, record: StoredRecord) => void;
  readonly #moved: (from: string, sid: string, record: StoredRecord) => void;

  /**
   * @param met is told of a live session that this process had not met
   * @param moved is told of a session that was settled on another client than it was bound to
   * @param validity turns sessions down
   */
  constructor(
    transactions: Transactions,
    clients: SessionRegistry<Socket>,
    met: (sid: string, record: StoredRecord) => void,
    moved: (from: string, sid: string, record: StoredRecord) => void,
    validity: SessionValidity | undefined,
  ) {
    this.validity = validity;
    this.#transactions = transactions;
    this.#clients = clients;
    this.#met = met;
    this.#moved = moved;
  }

  /** For a request: a live session always wins, and the client cookie follows it. */
  forRequest(
    sid: string | undefined,
    clientId: string | undefined,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (sid === undefined) return { sid, record: undefined, clientId };
    return chain(
      this.#transactions.lookup.load(sid, ctx),
      (record) => this.#loaded(sid, record, clientId, ctx),
    );
  }

  #loaded(
    sid: string,
    record: StoredRecord | undefined,
    clientId: string | undefined,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (!isAlive(record)) return this.#dead(sid, record, clientId, ctx);
    // koa-session will turn it down as well, and say so: nothing may be bound to it
    if (this.validity?.check(ctx, record) === false) {
      return { sid, record, clientId };
    }
    return chain(
      this.#live(sid, record, clientId, ctx),
      (bound) => bound ?? this.#dead(sid, undefined, clientId, ctx),
    );
  }

  async #dead(
    sid: string,
    record: StoredRecord | undefined,
    clientId: string | undefined,
    ctx: object,
  ): Promise<BoundSession> {
    const other = await this.#own(clientId, ctx);
    return other ?? { sid, record, clientId };
  }

  /** For a socket: it is let into its client's session, never into another client's. */
  forHandshake(
    sid: string | undefined,
    client: ClientClaim,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (sid === undefined) return this.#ofClient(client.verified(), ctx);
    return chain(
      this.#transactions.lookup.load(sid, ctx),
      (record) => this.#shaken(sid, record, client, ctx),
    );
  }

  #shaken(
    sid: string,
    record: StoredRecord | undefined,
    client: ClientClaim,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (!isAlive(record) || this.validity?.check(ctx, record) === false) {
      return this.#ofClient(client.verified(), ctx);
    }
    const { clientId: settled } = record;
    // a forged client cookie would change nothing: it need not be verified
    if (
      record.settled && settled !== undefined && settled === client.unverified
    ) {
      return this.#seen(sid, record, settled);
    }
    const clientId = client.verified();
    return chain(
      this.#live(sid, record, clientId, ctx),
      (bound) =>
        bound && (clientId === undefined || bound.clientId === clientId)
          ? bound
          : this.#ofClient(clientId, ctx),
    );
  }

  async #ofClient(
    clientId: string | undefined,
    ctx: object,
  ): Promise<BoundSession> {
    const own = await this.#own(clientId, ctx);
    return own ?? { sid: undefined, record: undefined, clientId };
  }

  /** The session that the client has, if it may be used. */
  async #own(
    clientId: string | undefined,
    ctx: object,
  ): Promise<BoundSession | undefined> {
    if (clientId === undefined) return undefined;
    const own = await this.#transactions.lookup.ofClient(clientId, ctx, true);
    if (!own || this.validity?.check(ctx, own.record) === false) {
      return undefined;
    }
    return this.#seen(own.sid, own.record, clientId);
  }

  /** Promises `undefined` for a session that ended on the way. */
  #live(
    sid: string,
    record: StoredRecord,
    clientId: string | undefined,
    ctx: unknown,
  ): BoundSession | Promise<BoundSession | undefined> {
    const bound = record.clientId;
    if (bound !== undefined && (record.settled || clientId === undefined)) {
      return this.#seen(sid, record, bound);
    }
    const settled = clientId !== undefined;
    const on = clientId ?? generateUid(CLIENT_ID_LENGTH);
    return this.#settle(sid, record, on, settled, ctx);
  }

  async #settle(
    sid: string,
    record: StoredRecord,
    clientId: string,
    settled: boolean,
    ctx: unknown,
  ): Promise<BoundSession | undefined> {
    const before = record.clientId;
    const other = before === clientId
      ? undefined
      : await this.#transactions.lookup.ofClient(clientId, ctx);
    const now = await this.#transactions.lookup.updateBinding(
      sid,
      record,
      { clientId, settled },
      ctx,
    );
    if (!now) return undefined;
    // somebody is at work on the session: the next one who comes by settles it
    if (now === record) {
      return before === undefined
        ? { sid, record, clientId }
        : this.#seen(sid, record, before);
    }
    if (other && other.sid !== sid) {
      await this.#transactions.end(other.sid, "replaced", {
        record: other.record,
        ctx,
      });
    }
    if (before !== undefined && before !== clientId) {
      this.#moved(before, sid, now);
    }
    return this.#seen(sid, now, clientId);
  }

  #seen(
    sid: string,
    record: StoredRecord,
    clientId: string | undefined,
  ): BoundSession {
    if (record.clientId !== undefined && !this.#clients.isSeen(sid)) {
      this.#met(sid, record);
    }
    return { sid, record, clientId };
  }
}

/** See the module's text. */
export class SessionValidity {
  readonly #valid: (ctx: never, session: never) => unknown;
  readonly #verdicts = new WeakMap<object, boolean>();

  /** @param valid the option of this name */
  constructor(valid: (ctx: never, session: never) => unknown) {
    this.#valid = valid;
  }

  /** @throws what the option throws */
  check(ctx: object, record: SessionRecord): boolean {
    const valid = this.#ask(ctx, toKoaSession(record));
    this.#verdicts.set(ctx, valid);
    return valid;
  }

  /** What koa-session is given, which asks about the session that was asked about before. */
  readonly checkOnce = (ctx: object, session: unknown): boolean =>
    this.#verdicts.get(ctx) ?? this.#ask(ctx, session);

  #ask(ctx: object, session: unknown): boolean {
    return Boolean(this.#valid(ctx as never, session as never));
  }
}
