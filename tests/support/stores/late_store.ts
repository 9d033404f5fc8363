/** A store of the basic tier that answers when it is told to. */
import type { SessionData } from "@koa-io/session";
import { type Deferred, deferred } from "../wait.ts";

type Operation = "get" | "set" | "destroy";

/**
 * What `get` answers is what was there when it was asked; what `set` brings is
 * there when it answers; `destroy` is done at once.
 */
export class LateStore {
  readonly entries: Map<string, string> = new Map();
  readonly #next = new Map<Operation, { asked: Deferred; gate: Deferred }>();

  /** Holds the next answer of this kind back: `asked` tells of it, `gate` lets it go. */
  hold(operation: Operation): { asked: Deferred; gate: Deferred } {
    const held = { asked: deferred(), gate: deferred() };
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
    held?.asked.resolve();
    await held?.gate.promise;
  }
}
