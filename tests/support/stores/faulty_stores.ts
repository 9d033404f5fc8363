/** Stores whose faults can be switched on and off. */
import {
  type AtomicStore,
  type BeginOptions,
  type FormerId,
  type MoveCondition,
  type SessionData,
  type SessionRecord,
  SessionStore,
  type StoredRecord,
} from "@koa-io/session";
import type { Proxy } from "../ports.ts";

/** How a store of the tests answers: as it should, with an error, never, or after a promise. */
export type FaultMode = "well" | "failing" | "hanging" | Promise<void>;

/** The error that a failing store answers with. */
export class StoreDown extends Error {
  override readonly name = "StoreDown";
}

/** Switches faults on and off for both stores. */
abstract class FaultInjector {
  /** By operation; operations that are not named work. */
  modes: Record<string, FaultMode> = {};
  /** Number of calls without an answer. */
  hung = 0;
  /** The calls so far: `[operation, sid]`. */
  readonly calls: [operation: string, sid: string][] = [];

  /** Makes every operation answer like this. */
  all(mood: FaultMode): void {
    this.modes = new Proxy({}, { get: () => mood });
  }

  protected async answer<T>(
    operation: string,
    sid: string,
    act: () => T,
  ): Promise<T> {
    this.calls.push([operation, sid]);
    const mood = this.modes[operation] ?? "well";
    if (mood === "failing") throw new StoreDown(`${operation} is down`);
    if (mood === "hanging") {
      this.hung++;
      return await new Promise<never>(() => {});
    }
    if (mood !== "well") await mood;
    return act();
  }
}

/** A store of the basic tier, as users write them, whose faults can be switched on and off. */
export class FaultyBasicStore extends FaultInjector {
  readonly entries: Map<string, string> = new Map();

  get(sid: string): Promise<SessionData | undefined> {
    return this.answer("get", sid, () => {
      const text = this.entries.get(sid);
      return text === undefined ? undefined : JSON.parse(text);
    });
  }

  set(sid: string, session: SessionData): Promise<void> {
    const text = JSON.stringify(session);
    return this.answer("set", sid, () => void this.entries.set(sid, text));
  }

  destroy(sid: string): Promise<void> {
    return this.answer("destroy", sid, () => void this.entries.delete(sid));
  }
}

/** A store of the atomic tier, whose faults can be switched on and off. */
export class FaultyAtomicStore extends FaultInjector implements AtomicStore {
  readonly scope = "process";
  readonly inner: SessionStore = new SessionStore({ autoCleanup: false });

  read(sid: string): Promise<StoredRecord | undefined> {
    return this.answer("read", sid, () => this.inner.read(sid));
  }

  write(sid: string, record: SessionRecord, expected: string | number | null) {
    return this.answer(
      "write",
      sid,
      () => this.inner.write(sid, record, expected),
    );
  }

  begin(sid: string, record: SessionRecord, options?: BeginOptions) {
    return this.answer(
      "write",
      sid,
      () => this.inner.begin(sid, record, options),
    );
  }

  extend(sid: string, expires: number, lastUsed?: number): Promise<boolean> {
    return this.answer(
      "extend",
      sid,
      () => this.inner.extend(sid, expires, lastUsed),
    );
  }

  destroy(sid: string, note?: string) {
    return this.answer("destroy", sid, () => this.inner.destroy(sid, note));
  }

  move(
    from: string,
    to: string,
    record: SessionRecord,
    condition: MoveCondition,
    note: string,
  ) {
    return this.answer(
      "move",
      from,
      () => this.inner.move(from, to, record, condition, note),
    );
  }

  former(sid: string): Promise<FormerId | undefined> {
    return this.answer("former", sid, () => this.inner.former(sid));
  }

  byClient(clientId: string): Promise<string | undefined> {
    return this.answer(
      "byClient",
      clientId,
      () => this.inner.byClient(clientId),
    );
  }

  byUser(user: string): Promise<readonly string[]> {
    return this.answer("byUser", user, () => this.inner.byUser(user));
  }

  get(sid: string): Promise<SessionData | undefined> {
    return this.answer("get", sid, () => this.inner.get(sid));
  }

  set(sid: string, session: SessionData, maxAge?: number | "session") {
    return this.answer("set", sid, () => this.inner.set(sid, session, maxAge));
  }
}
