/**
 * The state of a request's session.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { KoaContext } from "../api/koa.ts";
import type { StoredRecord } from "../api/store.ts";
import { unref } from "../base/expiry_heap.ts";
import type { RequestIds } from "../identity/incoming_ids.ts";
import type { RequestOrigin } from "../transaction/request_origin.ts";
import type { Rotation } from "../transaction/rotation.ts";
import type { SocketRotation } from "../transaction/session_observer.ts";
import { stricter } from "../transaction/user_policy.ts";

/** How long after its handler a response may take for its headers, in ms. */
const HEADERS_TIMEOUT = 2_000;

/** What a request asks of the application's options and of its response. */
export interface RequestHost {
  /** The option `genid`. */
  genid(ctx: never): string;
  /** JSON text of the option `meta`'s result. */
  metaOf(ctx: Context): string | undefined;
  /** Calls back once the headers are written or the connection is closed. */
  afterHeaders(ctx: Context, callback: () => void): void;
  /** Requests that wait for their headers: closing the bridge ends the wait. */
  readonly waiting: Set<RequestState>;
}

/** A session whose begin waits for its user. */
export interface Unbegun {
  readonly clientId: string | undefined;
  /** The data of the session that was rotated away, where it takes the place of one. */
  readonly left?: string;
}

/** A new id that a request gives its session. */
interface OwnMove {
  readonly to: string;
  readonly settled: Promise<void>;
}

/** The state of a request's session, and what its writes say of the request. */
export class RequestState implements RequestOrigin {
  readonly arrived: number = arrivalTime();
  readonly received: RequestIds;
  clientId = "";
  /** The session's id. */
  sid: string | undefined;
  /** The id that koa-session uses for it; another one once the session was rotated. */
  koaSid: string | undefined;
  /** The id of a session that this request failed to create. */
  failedSid: string | undefined;
  /** The record that was loaded, or stored last: the base of the next patch. */
  record: StoredRecord | undefined;
  /**
   * `"live"`, or ended: by this request (`"endedHere"`, where a later
   * assignment creates a new session), or otherwise (`"ended"`).
   */
  phase: "live" | "ended" | "endedHere" = "live";
  /** Whether the session cookie must not be sent. */
  cookieSuppressed = false;
  /** Rotations that koa-session has begun and not yet saved. */
  regenerations = 0;
  /** Settles with koa-session's store call in progress. */
  pending: Promise<void> | undefined;
  /** How the next rotation is done. */
  rotation: Rotation = FOLLOW;
  /** A new session that was regenerated: it begins at the next write, with the user that this sets. */
  unbegun: Unbegun | undefined;
  /** The strictest rotation that this request has made. */
  rotated: SocketRotation | undefined;
  /** Whether this request has stored the session. */
  stored = false;
  /** Whether the handler has returned: what follows is the commit at the end. */
  handled = false;
  readonly #ctx: Context;
  readonly #host: RequestHost;
  #ended = false;
  /** The new ids that this request gives sessions, by the former ones. */
  #moves: Map<string, OwnMove> | undefined;
  #meta: { readonly text: string | undefined } | undefined;
  #atEnd: (() => void)[] | undefined;
  #afterHeaders: (() => void)[] | undefined;
  #headersTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(ctx: Context, received: RequestIds, host: RequestHost) {
    this.#ctx = ctx;
    this.#host = host;
    this.received = received;
  }

  get receivedSid(): string | undefined {
    return this.received.sid;
  }

  get canSendIds(): boolean {
    return !this.#ctx.headerSent;
  }

  newSid(): string {
    return this.#host.genid(this.#ctx as never);
  }

  meta(): string | undefined {
    this.#meta ??= { text: this.#host.metaOf(this.#ctx) };
    return this.#meta.text;
  }

  noteMove(from: string, to: string, done: Promise<boolean>): void {
    const moves = this.#moves ??= new Map();
    const settled = done.then((isDone) => {
      if (!isDone) moves.delete(from);
    });
    moves.set(from, { to, settled });
  }

  async successorOf(sid: string): Promise<string | undefined> {
    let to: string | undefined;
    for (let move; (move = this.#moves?.get(to ?? sid)) !== undefined;) {
      await move.settled;
      while (this.pending) await this.pending;
      if (this.#moves?.get(to ?? sid) !== move) break;
      to = move.to;
    }
    return to;
  }

  noteJoined({ data, maxAge, cookie, version }: StoredRecord): void {
    const { record } = this;
    // unless a later write of this request has another base
    if (record?.version !== version) return;
    this.record = { ...record, data, maxAge, cookie };
  }

  /** Whether this request has given a session this id. */
  hasMovedTo(sid: string): boolean {
    return [...this.#moves?.values() ?? []].some(({ to }) => to === sid);
  }

  atEnd(callback: () => void): void {
    if (this.#ended) callback();
    else (this.#atEnd ??= []).push(callback);
  }

  afterHeaders(callback: () => void): void {
    if (!this.#afterHeaders) {
      this.#afterHeaders = [];
      this.#host.afterHeaders(this.#ctx, () => this.#flush());
      if (this.#ended) this.#limitHeaders();
    }
    this.#afterHeaders.push(callback);
  }

  /** Records a rotation that this request has made: no other response has the new id. */
  noteRotation(sockets: SocketRotation): void {
    this.cookieSuppressed = false;
    this.rotated = stricter(sockets, this.rotated);
  }

  /** The middleware of the bridge is complete. */
  end(): void {
    this.#ended = true;
    const callbacks = this.#atEnd;
    if (callbacks) {
      this.#atEnd = undefined;
      for (const callback of callbacks) callback();
    }
    if (this.#afterHeaders) this.#limitHeaders();
  }

  #limitHeaders(): void {
    this.#headersTimer = setTimeout(() => this.#flush(), HEADERS_TIMEOUT);
    unref(this.#headersTimer);
    this.#host.waiting.add(this);
  }

  /** The bridge is closed: what waits for the headers has no effect any more. */
  close(): void {
    clearTimeout(this.#headersTimer);
    this.#host.waiting.delete(this);
  }

  #flush(): void {
    this.close();
    const callbacks = this.#afterHeaders;
    this.#afterHeaders = undefined;
    for (const callback of callbacks ?? []) callback();
  }
}

let latest = 0;

/** The present time, ms since the epoch, increased so that no two requests of this process are equal. */
function arrivalTime(): number {
  const now = Date.now();
  return latest = now > latest ? now : latest + 2 ** -10;
}

/** The key of the state on a Koa context. */
export const STATE: unique symbol = Symbol("koa-io-session");
/** The default rotation: sockets follow the session to its new id. */
export const FOLLOW: Rotation = { sockets: "follow", clientId: undefined };

/** A Koa context with the state of its request. */
export type Context = KoaContext & { [STATE]?: RequestState };

/** Whether the session has not ended. */
export function isLive({ phase }: RequestState): boolean {
  return phase === "live";
}

/**
 * Serializes koa-session's store calls: a `save()` that is not awaited must not
 * overlap the commit at the end of the request.
 */
export async function serialized(
  state: RequestState,
  act: (state: RequestState) => Promise<void>,
): Promise<void> {
  while (state.pending) await state.pending;
  let settle!: () => void;
  state.pending = new Promise((resolve) => settle = resolve);
  try {
    await act(state);
  } finally {
    state.pending = undefined;
    settle();
  }
}

/** Limit of event loop turns between two store calls of one `regenerate()`. */
const MAX_TURNS = 10;

/** Waits for calls that the handler did not await, so that their cookie is in the response. */
export async function settlePending(state: RequestState): Promise<void> {
  for (let turns = 0; turns < MAX_TURNS; turns++) {
    while (state.pending) await state.pending;
    if (state.regenerations === 0) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
