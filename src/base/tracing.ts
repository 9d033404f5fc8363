/**
 * Diagnostics: tracing channels of `node:diagnostics_channel`, and lines of
 * `node:util`'s `debuglog` (`NODE_DEBUG=koa-io-session`). Without subscribers
 * the cost is a check of a few flags. No id, no data and no result is ever
 * published.
 *
 * @module
 */
import { channel } from "node:diagnostics_channel";
import { debuglog } from "node:util";
import { chain } from "./async.ts";
import { hashId } from "./ids.ts";
import type { Awaitable } from "../api/store.ts";

/**
 * The message of the tracing channels `koa-io-session:transaction`, `:load`,
 * `:commit`, `:handshake` and `:end`: at `start`, `asyncEnd` and `error` the
 * same object, which is complete at `asyncEnd`.
 *
 * @example
 * ```ts
 * import { subscribe, unsubscribe } from "node:diagnostics_channel";
 * import Koa from "koa";
 * import { Server } from "socket.io";
 * import { bridgeSession, type SessionTrace } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const outcomes: unknown[] = [];
 * const listener = (trace: unknown) => {
 *   outcomes.push((trace as SessionTrace).outcome);
 * };
 * const channel = "tracing:koa-io-session:load:asyncEnd";
 * subscribe(channel, listener);
 *
 * await using bridge = bridgeSession(new Koa(), new Server(), { appKeys: ["secret"], key: "sid" });
 * await bridge.peek("an-id");
 * assertEquals(outcomes, ["missing"]);
 * unsubscribe(channel, listener);
 * ```
 */
export interface SessionTrace {
  /** The hash of the session's id, as in the names of rooms; `undefined` without an id. */
  readonly session: string | undefined;
  /** The origin of the operation: a request, a socket, or (`"bridge"`) a call by id, a timer, the store. */
  readonly source: "http" | "socket" | "bridge";
  /** How long a transaction waited for the session, in ms. */
  readonly wait: number;
  /** How long the operation took, in ms. */
  readonly duration: number;
  /**
   * The outcome; the `code` or the name of the error where it failed.
   *
   * - `transaction`: `"written"`, `"unchanged"`, `"destroyed"`, `"joined"`, `"missing"`
   * - `load`: `"found"`, `"missing"`
   * - `commit`, a write of a request: `"created"`, `"written"`, `"rotated"`, `"ended"`
   * - `handshake`: `"session"`, `"guest"`
   * - `end`: the reason, or `"missing"`
   */
  readonly outcome: string | undefined;
}

type TraceSource = SessionTrace["source"];

/** A trace in progress. */
export type Span = { -readonly [K in keyof SessionTrace]: SessionTrace[K] };

const debug = debuglog("koa-io-session");

/** An operation with its tracing channels. */
export class Trace {
  readonly #name: string;
  readonly #start;
  readonly #end;
  readonly #error;

  constructor(name: string) {
    const prefix = `tracing:koa-io-session:${name}`;
    this.#name = name;
    this.#start = channel(`${prefix}:start`);
    this.#end = channel(`${prefix}:asyncEnd`);
    this.#error = channel(`${prefix}:error`);
  }

  /** Whether there is a subscriber, or the log is on. */
  get enabled(): boolean {
    return this.#end.hasSubscribers || this.#start.hasSubscribers ||
      this.#error.hasSubscribers || debug.enabled;
  }

  /**
   * Runs `act` and publishes its trace.
   *
   * @param outcomeOf the outcome of a result, where `act` does not set it itself
   */
  run<T>(
    sid: string | undefined,
    source: TraceSource,
    act: (span: Span) => Awaitable<T>,
    outcomeOf?: (result: T) => string,
  ): Awaitable<T> {
    const began = performance.now();
    const span: Span = {
      session: sid === undefined ? undefined : hashId(sid),
      source,
      wait: 0,
      duration: 0,
      outcome: undefined,
    };
    const done = (result: T): T => {
      if (outcomeOf) span.outcome = outcomeOf(result);
      this.#finish(span, began);
      return result;
    };
    const failed = (error: unknown): never => {
      const { code, name } = Object(error) as {
        code?: unknown;
        name?: unknown;
      };
      span.outcome = String(code ?? name ?? "error");
      this.#error.publish(span);
      this.#finish(span, began);
      throw error;
    };
    this.#start.publish(span);
    let result: Awaitable<T>;
    try {
      result = act(span);
    } catch (error) {
      return failed(error);
    }
    return chain(result, done, failed);
  }

  #finish(span: Span, began: number): void {
    span.duration = performance.now() - began;
    const { session = "-", source, wait, duration, outcome } = span;
    debug(
      "%s %s from %s: %s (waited %s ms, took %s ms)",
      this.#name,
      session,
      source,
      outcome,
      wait.toFixed(1),
      duration.toFixed(1),
    );
    this.#end.publish(span);
  }
}

/** Calls of `withSession`. */
export const TRANSACTION: Trace = new Trace("transaction");
/** Reads outside of transactions. */
export const LOAD: Trace = new Trace("load");
/** Writes of requests. */
export const COMMIT: Trace = new Trace("commit");
/** Handshakes of sockets. */
export const HANDSHAKE: Trace = new Trace("handshake");
/** Terminations of sessions. */
export const END: Trace = new Trace("end");

/** The source of a call with this Koa context. */
export function sourceOf(ctx: unknown): TraceSource {
  const isContext = typeof ctx === "object" && ctx !== null;
  if (!isContext) return "bridge";
  return "handshake" in ctx ? "socket" : "http";
}
