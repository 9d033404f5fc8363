/**
 * Which session a client has. A client id identifies a browser. The request
 * that creates a session binds it to its client id provisionally; the first
 * request or handshake that presents the session cookie settles the binding.
 *
 * @module
 */
import { type Awaitable, isAlive, type StoredRecord } from "../api/store.ts";
import { chain } from "../base/async.ts";
import { generateUid } from "../base/ids.ts";
import type { SessionObserver } from "../transaction/session_observer.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { ClientClaim } from "./incoming_ids.ts";
import type { SessionRegistry, TrackedSession } from "./registry.ts";
import type { SessionValidity } from "./validity.ts";

/** The session of a request or a handshake. */
export interface BoundSession {
  /** The session to use. */
  readonly sid: string | undefined;
  /** Its record; it may have expired within the grace period. */
  readonly record: StoredRecord | undefined;
  /** The received client id, or the one that the session is settled on. */
  readonly clientId: string | undefined;
}

/** The length of a client id: 144 random bits. */
export const CLIENT_ID_LENGTH = 24;

/** Resolves received ids to sessions, and settles bindings. */
export class ClientBindings {
  /** Present with the option `valid`. */
  readonly validity: SessionValidity | undefined;
  readonly #transactions: Transactions;
  readonly #registry: SessionRegistry;
  readonly #observer: Pick<SessionObserver, "started" | "rebound">;

  /** @param validity refuses sessions for a request or a handshake */
  constructor(
    transactions: Transactions,
    registry: SessionRegistry,
    observer: Pick<SessionObserver, "started" | "rebound">,
    validity: SessionValidity | undefined,
  ) {
    this.validity = validity;
    this.#transactions = transactions;
    this.#registry = registry;
    this.#observer = observer;
  }

  /** Tracks a live session, which is reported as started if it was not seen before. */
  track(sid: string, record: StoredRecord): TrackedSession | undefined {
    this.#see(sid, record);
    return this.#registry.track(sid);
  }

  /** For a request: a live session prevails, and the client cookie follows it. */
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
    if (!isAlive(record)) return this.#fallback(sid, record, clientId, ctx);
    // koa-session refuses it too and emits its event: nothing may be bound to it
    if (this.validity?.check(ctx, record) === false) {
      return { sid, record, clientId };
    }
    return chain(
      this.#live(sid, record, clientId, ctx),
      (bound) => bound ?? this.#fallback(sid, undefined, clientId, ctx),
    );
  }

  async #fallback(
    sid: string,
    record: StoredRecord | undefined,
    clientId: string | undefined,
    ctx: object,
  ): Promise<BoundSession> {
    const other = await this.#sessionOfClient(clientId, ctx);
    return other ?? { sid, record, clientId };
  }

  /** For a socket: it enters its client's session, never that of another client. */
  forHandshake(
    sid: string | undefined,
    client: ClientClaim,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (sid === undefined) return this.#ofClient(client.verified(), ctx);
    return chain(
      this.#transactions.lookup.load(sid, ctx),
      (record) => this.#fromHandshake(sid, record, client, ctx),
    );
  }

  #fromHandshake(
    sid: string,
    record: StoredRecord | undefined,
    client: ClientClaim,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (!isAlive(record) || this.validity?.check(ctx, record) === false) {
      return this.#ofClient(client.verified(), ctx);
    }
    const { clientId: settledOn } = record;
    // a forged client cookie with the right id has no effect: no signature has to be verified
    if (
      record.settled && settledOn !== undefined &&
      client.presents(settledOn)
    ) {
      return this.#bound(sid, record, settledOn);
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
    const own = await this.#sessionOfClient(clientId, ctx);
    return own ?? { sid: undefined, record: undefined, clientId };
  }

  /** The session of the client, if it is valid. */
  async #sessionOfClient(
    clientId: string | undefined,
    ctx: object,
  ): Promise<BoundSession | undefined> {
    if (clientId === undefined) return undefined;
    const own = await this.#transactions.lookup.ofClient(clientId, ctx, true);
    if (!own || this.validity?.check(ctx, own.record) === false) {
      return undefined;
    }
    return this.#bound(own.sid, own.record, clientId);
  }

  /** Resolves to `undefined` for a session that ended before it was settled. */
  #live(
    sid: string,
    record: StoredRecord,
    clientId: string | undefined,
    ctx: unknown,
  ): BoundSession | Promise<BoundSession | undefined> {
    const bound = record.clientId;
    if (bound !== undefined && (record.settled || clientId === undefined)) {
      return this.#bound(sid, record, bound);
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
    const { lookup } = this.#transactions;
    const before = record.clientId;
    const other = before === clientId
      ? undefined
      : await lookup.ofClient(clientId, ctx);
    const change = { clientId, settled };
    const now = await lookup.updateBinding(sid, record, change, ctx);
    if (!now) return undefined;
    // the session is held: a later request settles it
    if (now === record) {
      return before === undefined
        ? { sid, record, clientId }
        : this.#bound(sid, record, before);
    }
    if (other && other.sid !== sid) {
      const loaded = { record: other.record, ctx };
      await this.#transactions.end(other.sid, "replaced", loaded);
    }
    if (before !== undefined && before !== clientId) {
      this.#observer.rebound(before, sid, now);
    }
    return this.#bound(sid, now, clientId);
  }

  #bound(
    sid: string,
    record: StoredRecord,
    clientId: string | undefined,
  ): BoundSession {
    if (record.clientId !== undefined) this.#see(sid, record);
    return { sid, record, clientId };
  }

  #see(sid: string, record: StoredRecord): void {
    if (this.#registry.isSeen(sid)) return;
    this.#observer.started(sid, record, "rebuilt");
  }
}
