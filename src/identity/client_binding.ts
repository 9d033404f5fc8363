/**
 * Which session a client has. A client id identifies a browser. The request
 * that creates a session binds it to its client id provisionally; the first
 * request or handshake that presents the session cookie together with a client
 * cookie settles the binding. Only the session cookie opens a session: a client
 * cookie says which session its browser begins next.
 *
 * @module
 */
import {
  type Awaitable,
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../api/store.ts";
import { chain } from "../base/async.ts";
import { generateUid } from "../base/ids.ts";
import { CLIENT_ID_LENGTH } from "../transaction/session_creation.ts";
import type { RequestOrigin } from "../transaction/request_origin.ts";
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
  /** In a handshake: the session whose cookie came with the client cookie of another client. */
  readonly mismatched?: string;
}

type Observer = Pick<SessionObserver, "started" | "rebound" | "corrected">;

/** Resolves received ids to sessions, and settles bindings. */
export class ClientBindings {
  /** Present with the option `valid`. */
  readonly validity: SessionValidity | undefined;
  readonly #transactions: Transactions;
  readonly #registry: SessionRegistry;
  readonly #observer: Observer;

  /** @param validity refuses sessions for a request or a handshake */
  constructor(
    transactions: Transactions,
    registry: SessionRegistry,
    observer: Observer,
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

  /**
   * For a request. A live session prevails, and the client cookie follows it; a
   * session cookie that names no live session opens nothing.
   */
  forRequest(
    sid: string | undefined,
    clientId: string | undefined,
    ctx: object,
    request: RequestOrigin,
  ): Awaitable<BoundSession> {
    if (sid === undefined) return { sid, record: undefined, clientId };
    return chain(
      this.#transactions.lookup.load(sid, ctx),
      (record) =>
        !isAlive(record) && this.#transactions.tombstones.has(sid)
          ? this.#rotatedMeanwhile(sid, record, clientId, ctx, request)
          : this.#loaded(sid, record, clientId, ctx, request),
    );
  }

  /** A session that was rotated after the request arrived: it follows as sockets do. */
  #rotatedMeanwhile(
    sid: string,
    record: StoredRecord | undefined,
    clientId: string | undefined,
    ctx: object,
    request: RequestOrigin,
  ): Awaitable<BoundSession> {
    const { lookup } = this.#transactions;
    return chain(lookup.former(sid), (former) => {
      const to = former?.note === "follow" &&
          former.at >= Math.floor(request.arrived)
        ? former.to
        : undefined;
      return to === undefined ? { sid, record, clientId } : chain(
        lookup.load(to, ctx),
        (moved) => this.#loaded(to, moved, clientId, ctx, request),
      );
    });
  }

  #loaded(
    sid: string,
    record: StoredRecord | undefined,
    clientId: string | undefined,
    ctx: object,
    request: RequestOrigin,
  ): Awaitable<BoundSession> {
    const dead = { sid, record, clientId };
    // koa-session refuses an invalid one too and emits its event: nothing may be bound to it
    if (!isAlive(record) || this.validity?.check(ctx, record) === false) {
      return dead;
    }
    if (clientId !== undefined && this.#isOther(record, clientId)) {
      this.#observer.corrected(sid, { request });
    }
    return chain(
      this.#live(sid, record, clientId, ctx),
      (bound) => bound ?? { ...dead, record: undefined },
    );
  }

  /** For a socket: it enters the live session that its session cookie names. */
  forHandshake(
    sid: string | undefined,
    client: ClientClaim,
    ctx: object,
  ): Awaitable<BoundSession> {
    if (sid === undefined) return guest(client);
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
      return guest(client);
    }
    const { settled, clientId: bound } = record;
    // a forged client cookie with the right id has no effect: no signature has to be verified
    if (settled && bound !== undefined && client.presents(bound)) {
      return this.#bound(sid, record, bound);
    }
    const clientId = client.verified();
    if (clientId !== undefined && this.#isOther(record, clientId)) {
      const none = { sid: undefined, record: undefined, clientId: undefined };
      return { ...none, mismatched: sid };
    }
    return chain(
      this.#live(sid, record, clientId, ctx),
      (session) => session ?? guest(client),
    );
  }

  /** Whether a session is settled on another client, where that matters. */
  #isOther(record: StoredRecord, clientId: string): boolean {
    return record.settled && record.clientId !== clientId &&
      !this.#transactions.reconnects;
  }

  /** Resolves to `undefined` for a session that ended before it was settled. */
  #live(
    sid: string,
    record: StoredRecord,
    clientId: string | undefined,
    ctx: unknown,
  ): BoundSession | Promise<BoundSession | undefined> {
    const present = this.#withPresentUser(record);
    const bound = record.clientId;
    const settles = bound === undefined ||
      !record.settled && clientId !== undefined;
    if (!settles && present === record) return this.#bound(sid, record, bound);
    const binding: Binding = settles
      ? {
        clientId: clientId ?? generateUid(CLIENT_ID_LENGTH),
        settled: clientId !== undefined,
      }
      : {};
    return this.#update(sid, record, binding, ctx);
  }

  /** The record with the user that the option sees at present; an error of the option is that of the next commit. */
  #withPresentUser(record: StoredRecord): StoredRecord {
    try {
      return this.#transactions.records.withPresentUser(record);
    } catch {
      return record;
    }
  }

  async #update(
    sid: string,
    record: StoredRecord,
    binding: Binding,
    ctx: unknown,
  ): Promise<BoundSession | undefined> {
    const { lookup, reconnects } = this.#transactions;
    const before = record.clientId;
    let clientId = binding.clientId ?? before;
    const other = before === clientId || clientId === undefined
      ? undefined
      : await lookup.ofClient(clientId, ctx);
    const isTaken = other !== undefined && other.sid !== sid;
    // a client id ends no session of another user
    if (isTaken && reconnects) {
      clientId = generateUid(CLIENT_ID_LENGTH);
      binding = { ...binding, clientId };
    }
    // by what is stored then: another request may have settled it, or changed its user
    const change = (stored: StoredRecord) => ({
      ...stored.settled ? {} : binding,
      user: this.#withPresentUser(stored).user,
    });
    const now = await lookup.updateBinding(sid, record, change, ctx);
    if (!now) return undefined;
    // the session is held: a later request settles it
    if (now === record) {
      return before === undefined
        ? { sid, record, clientId }
        : this.#bound(sid, record, before);
    }
    const isOwn = now.clientId === clientId;
    clientId = now.clientId;
    if (isTaken && isOwn && !reconnects) {
      await this.#transactions.end(other.sid, "replaced", {
        record: other.record,
        ctx,
        isMeant: (moved) => moved.clientId === clientId,
      });
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

/** A client that a session is bound to; empty where its binding stays. */
type Binding = Partial<Pick<SessionRecord, "clientId" | "settled">>;

/** A socket without a session: it follows its client. */
function guest(client: ClientClaim): BoundSession {
  const clientId = client.verified();
  return { sid: undefined, record: undefined, clientId };
}
