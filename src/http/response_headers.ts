/**
 * The moment when a response writes its headers: what they are to be is
 * decided then, since an outer middleware may still have made the response a
 * 304, or public.
 *
 * @module
 */
import type { ServerResponse } from "node:http";
import { setImmediate } from "node:timers";
import type { StoredRecord } from "../api/store.ts";
import type { Context } from "./request_state.ts";

/** Called with the status, when all headers are set and none is written. */
type Decide = (headers: ResponseHeaders, status: number) => void;

type WriteHead = ServerResponse["writeHead"];

const HEADERS: unique symbol = Symbol("koa-io-session.headers");

type Watched = ServerResponse & { [HEADERS]?: ResponseHeaders };

/** What is to be sent with the headers of one response. */
export class ResponseHeaders {
  readonly ctx: Context;
  /** The id of the client cookie to send. */
  clientId: string | undefined;
  /** The session whose cookie is to be signed with the first key. */
  outdated: StoredRecord | undefined;
  /** Whether the option `externalKey` has put a session id into the response. */
  carriesId = false;
  readonly #decide: Decide;
  readonly #original: WriteHead;
  /** Of another bridge, whose application has passed the request on. */
  readonly #outer: ResponseHeaders | undefined;
  #entered = false;
  #written = false;
  #callbacks: (() => void)[] | undefined;

  /** Replaces `writeHead` of the response, which every way to write headers calls. */
  constructor(ctx: Context, decide: Decide) {
    this.ctx = ctx;
    this.#decide = decide;
    const res: Watched = ctx.res;
    this.#original = res.writeHead;
    this.#outer = res[HEADERS];
    res[HEADERS] = this;
    res.writeHead = ResponseHeaders.#writeHead as WriteHead;
  }

  /**
   * One function for all responses: with a closure for each, Deno spends as
   * much time on collecting garbage as on the whole request. The original of an
   * inner bridge may lead here again, for the outer one.
   */
  static #writeHead(this: Watched, ...args: unknown[]): ServerResponse {
    let headers = this[HEADERS]!;
    while (headers.#entered && headers.#outer) headers = headers.#outer;
    return headers.#entered
      ? Reflect.apply(headers.#original, this, args)
      : headers.#write(args);
  }

  /** Calls back once the headers are written or the connection is closed. */
  after(callback: () => void): void {
    const { res } = this.ctx;
    if (this.#written || res.headersSent || res.destroyed) {
      setImmediate(callback);
      return;
    }
    if (!this.#callbacks) {
      this.#callbacks = [];
      res.once("close", () => this.#callBack());
    }
    this.#callbacks.push(callback);
  }

  #write(args: unknown[]): ServerResponse {
    const { res } = this.ctx;
    // the original throws
    if (res.headersSent) return Reflect.apply(this.#original, res, args);
    this.#entered = true;
    try {
      if (args.length > 1 && setHeaders(res, args.at(-1))) args.pop();
      this.#decide(this, args[0] as number);
      Reflect.apply(this.#original, res, args);
      this.#written = true;
    } finally {
      this.#entered = this.#written;
    }
    // the bytes follow within this turn, from `end`, `write` or `flushHeaders`
    if (this.#callbacks) setImmediate(() => this.#callBack());
    return res;
  }

  #callBack(): void {
    const callbacks = this.#callbacks ?? [];
    this.#callbacks = [];
    for (const callback of callbacks) callback();
  }
}

/**
 * Sets the headers that `writeHead` was given, as it does where others were
 * set before.
 *
 * @returns whether they are set; `false` leaves them, and what is wrong with them, to `writeHead`
 */
function setHeaders(res: ServerResponse, given: unknown): boolean {
  if (typeof given !== "object" || given === null) return false;
  if (!Array.isArray(given)) {
    for (const [name, value] of Object.entries(given)) {
      if (name) res.setHeader(name, value);
    }
    return true;
  }
  const pairs: unknown[] = Array.isArray(given[0]) ? given.flat(1) : given;
  if (pairs.length % 2 !== 0) return false;
  const values = new Map<string, [name: string, value: string | string[]]>();
  for (let i = 0; i < pairs.length; i += 2) {
    const name = String(pairs[i]);
    const value = pairs[i + 1] as string | string[];
    const key = name.toLowerCase();
    const earlier = values.get(key);
    values.set(key, [name, earlier ? [earlier[1], value].flat() : value]);
  }
  for (const [name, value] of values.values()) res.setHeader(name, value);
  return true;
}
