/** A store of the basic tier whose answers a test can hold back. */
import type { SessionData } from "@koa-io/session";
import { type Deferred, deferred } from "../wait.ts";

type Operation = "get" | "set" | "destroy";

/**
 * `get` answers with what was stored when it was called; `set` stores when it answers; `destroy` removes at once.
 */
export class LateStore {
  readonly entries: Map<string, string> = new Map();
  readonly #next = new Map<Operation, { called: Deferred; gate: Deferred }>();

  /** Holds the next answer of this kind back: `called` resolves at the call, `gate` releases the answer. */
  hold(operation: Operation): { called: Deferred; gate: Deferred } {
    const held = { called: deferred(), gate: deferred() };
    this.#next.set(operation, held);
    return held;
  }

  async get(sid: string): Promise<SessionData | undefined> {
    const text = this.entries.get(sid);
    await this.#turn("get");
    return text === undefined ? undefined : JSON.parse(text);
  }

  async set(sid: string, session: SessionData): Promise<void> {
    const text = JSON.stringify(session);
    await this.#turn("set");
    this.entries.set(sid, text);
  }

  async destroy(sid: string): Promise<void> {
    this.entries.delete(sid);
    await this.#turn("destroy");
  }

  async #turn(operation: Operation): Promise<void> {
    const held = this.#next.get(operation);
    this.#next.delete(operation);
    held?.called.resolve();
    await held?.gate.promise;
  }
}
