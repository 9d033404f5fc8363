/**
 * The one door that every write goes through, from HTTP or from a socket, in
 * this process or another: wait, read, let the handler work, see what it
 * changed, write that if nobody ended or took the session meanwhile, tell.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { Door, type Held, isAlive, type Opened, type Records } from "./door.ts";
import {
  SessionConflictError,
  SessionEndedError,
  SessionMissingError,
  SessionStoreError,
  SessionTimeoutError,
} from "./errors.ts";
import type { Conflict, EndReason, SessionConflict } from "./events.ts";
import { Mutex, WaitTimeout } from "./mutex.ts";
import { diff, merge, type Patch } from "./patch.ts";
import {
  encode,
  findScope,
  type Frame,
  RootScope,
  Scope,
  type SessionView,
  settle,
} from "./scope.ts";
import type {
  Awaitable,
  SessionData,
  SessionRecord,
  StoredRecord,
} from "./store.ts";

/** What the door needs to know of the options. */
export interface TransactionOptions {
  readonly lockTimeout: number;
  readonly storeTimeout: number;
  readonly touchInterval: number | false;
  readonly absoluteMaxAge: number | undefined;
  readonly onConflict: "last" | "reject" | ((conflict: Conflict) => unknown);
  readonly user: ((session: SessionData) => string | undefined) | undefined;
}

/** What follows from what passed through the door. */
export interface TransactionListener {
  created(sid: string, record: SessionRecord): void;
  written(sid: string, record: SessionRecord, before: SessionRecord): void;
  ended(sid: string, record: SessionRecord, reason: EndReason): void;
  rotated(
    from: string,
    to: string,
    record: SessionRecord,
    before: SessionRecord,
    sockets: "follow" | "leave",
  ): void;
  conflict(event: SessionConflict): void;
  /** A session that somebody took for alive is not in the store. */
  missed(sid: string): void;
}

/** A handler of `withSession`. */
export type Handler<R> = (
  view: SessionView<SessionData, unknown>,
) => R | Promise<R>;

/** Where a transaction comes from. */
export interface Source {
  readonly socket?: unknown;
  readonly ctx?: unknown;
  /** Whether a use of the session prolongs its life. */
  readonly touch?: boolean;
  /** Brings changes of the request in, and takes the result out. */
  readonly carry?: {
    enter(scope: RootScope): void;
    leave(sid: string, record: StoredRecord | undefined): void;
  };
}

/** What a request wants to have written. */
export interface Commit {
  readonly data: string;
  readonly maxAge: number;
  readonly cookie: number | "session";
}

/** What became of it. */
export type Committed =
  | {
    readonly status: "done";
    readonly sid: string;
    readonly record: StoredRecord;
  }
  | { readonly status: "ended" };

/** How often a patch is tried again before the store is thought to be unsound. */
const MAX_TRIES = 20;

/** Every read and write of a session. */
export class Transactions {
  readonly door: Door;
  /** How many transactions ran, and how many conflicts there were. */
  readonly counts = { transactions: 0, conflicts: 0 };
  readonly #options: TransactionOptions;
  readonly #listener: TransactionListener;
  readonly #frames = new AsyncLocalStorage<Frame>();
  readonly #joins: Mutex<Scope>;
  readonly #ending = new Map<string, Promise<boolean>>();
  readonly #moving = new Map<string, Promise<unknown>>();
  readonly #shared: boolean;
  readonly #takesTurns: boolean;

  constructor(
    records: Records,
    options: TransactionOptions,
    listener: TransactionListener,
  ) {
    this.door = new Door(records, options);
    this.#shared = records.scope === "shared";
    this.#takesTurns = records.takesTurns === true;
    this.#options = options;
    this.#listener = listener;
    this.#joins = new Mutex(options.lockTimeout);
  }

  /** Whether the store is one that may look at the Koa context. */
  get wantsContext(): boolean {
    return this.#takesTurns;
  }

  /** Reads a record; one that has expired a moment ago is still shown. */
  load(sid: string, ctx?: unknown): Awaitable<StoredRecord | undefined> {
    const loading = this.door.ask("read", (records) => records.read(sid, ctx));
    if (loading instanceof Promise) {
      return loading.then((record) => this.#seen(sid, record));
    }
    return this.#seen(sid, loading);
  }

  /** Reads a record and draws no conclusions. */
  peek(sid: string): Awaitable<StoredRecord | undefined> {
    return this.door.ask("read", (records) => records.read(sid));
  }

  #seen(
    sid: string,
    record: StoredRecord | undefined,
  ): StoredRecord | undefined {
    if (!isAlive(record)) this.#listener.missed(sid);
    return record;
  }

  /** Where a session went that was regenerated a moment ago. */
  movedTo(sid: string): Awaitable<string | undefined> {
    return this.door.ask("read", (records) => records.movedTo(sid));
  }

  /** The live session that is bound to a client. */
  async ofClient(
    clientId: string,
    ctx?: unknown,
  ): Promise<{ sid: string; record: StoredRecord } | undefined> {
    const sid = await this.door.ask(
      "read",
      (records) => records.byClient(clientId),
    );
    if (sid === undefined) return undefined;
    const record = await this.load(sid, ctx);
    // the index is a hint, the record decides
    return isAlive(record) && record.clientId === clientId
      ? { sid, record }
      : undefined;
  }

  /** The live sessions that belong to a user. */
  async ofUser(
    user: string,
  ): Promise<readonly { sid: string; record: StoredRecord }[]> {
    const sids = await this.door.ask("read", (records) => records.byUser(user));
    const records = await Promise.all(sids.map((sid) => this.load(sid)));
    return sids.flatMap((sid, i) => {
      const record = records[i];
      return isAlive(record) && record.user === user ? [{ sid, record }] : [];
    });
  }

  /** Whether the caller stands inside a transaction on this session. */
  inside(sid: string): boolean {
    return findScope(this.#frames.getStore(), sid) !== undefined;
  }

  /**
   * Runs a handler on a session, alone.
   *
   * @param missing what to do when there is no such session
   */
  async run<R, M>(
    sid: string,
    handler: Handler<R>,
    missing: () => M,
    source: Source,
  ): Promise<R | M> {
    const frame = this.#frames.getStore();
    const scope = frame && findScope(frame, sid);
    if (scope) return await this.#join(scope, frame, handler, missing, source);
    const opening = this.#open(sid, source.ctx, false);
    const opened = opening instanceof Promise ? await opening : opening;
    if ("missing" in opened) {
      this.#listener.missed(sid);
      return missing();
    }
    this.counts.transactions++;
    return await this.#execute(opened, frame, handler, source);
  }

  /** Opens a session; who waited, or was under way, follows it to a new id. */
  #open(sid: string, ctx: unknown, follow: boolean): Awaitable<Opened> {
    const opening = this.door.open(sid, ctx);
    if (!(opening instanceof Promise) && !("missing" in opening)) {
      return opening;
    }
    return this.#follow(opening, sid, ctx, follow);
  }

  async #follow(
    opening: Awaitable<Opened>,
    sid: string,
    ctx: unknown,
    follow: boolean,
  ): Promise<Opened> {
    const opened = await opening;
    if (!("missing" in opened) || !(opened.waited || follow)) return opened;
    const to = await this.movedTo(sid);
    return to === undefined ? opened : await this.#open(to, ctx, true);
  }

  async #execute<R>(
    held: Held,
    parent: Frame | undefined,
    handler: Handler<R>,
    source: Source,
  ): Promise<R> {
    const scope = new RootScope(held, JSON.parse(held.record.data));
    let result: R;
    try {
      source.carry?.enter(scope);
      result = await this.#frames.run(
        { scope, parent },
        handler,
        scope.view(source.socket),
      );
      if (scope.busy) await scope.close();
      scope.open = false;
    } catch (error) {
      await scope.close();
      scope.held.release();
      throw error;
    }
    await this.#conclude(scope, source);
    return result;
  }

  async #join<R, M>(
    into: Scope,
    parent: Frame | undefined,
    handler: Handler<R>,
    missing: () => M,
    source: Source,
  ): Promise<R | M> {
    into.started();
    try {
      const hold = await this.#joinTurn(into);
      try {
        if (into.result === null || into.top.ended) return missing();
        const before = encode(into.result);
        const scope = new Scope(into.top, JSON.parse(before));
        let result: R;
        try {
          result = await this.#frames.run(
            { scope, parent },
            handler,
            scope.view(source.socket),
          );
        } finally {
          await scope.close();
        }
        if (hold.state === "lost") {
          this.door.timeouts++;
          throw new SessionTimeoutError("hold", this.#options.lockTimeout);
        }
        settle(into, before, scope.result);
        if (scope.result === null) await this.#endInside(into.top);
        return result;
      } finally {
        this.#joins.release(hold);
      }
    } finally {
      into.finished();
    }
  }

  /** Ending never waits, not even for the call that was joined. */
  async #endInside(top: RootScope): Promise<void> {
    if (top.ended) return;
    top.ended = true;
    const { sid, record } = top.held;
    if (!await this.end(sid, "logout", { record })) {
      throw new SessionEndedError();
    }
  }

  async #joinTurn(into: Scope) {
    try {
      return (await this.#joins.acquire(into))!;
    } catch (error) {
      if (!(error instanceof WaitTimeout)) throw error;
      this.door.timeouts++;
      throw new SessionTimeoutError("wait", this.#options.lockTimeout);
    }
  }

  async #conclude(scope: RootScope, source: Source): Promise<void> {
    const { held } = scope;
    if (scope.ended) {
      held.release();
      source.carry?.leave(held.sid, undefined);
      return;
    }
    if (scope.result === null) {
      await this.#logout(scope);
      source.carry?.leave(held.sid, undefined);
      return;
    }
    let next: SessionRecord | undefined;
    try {
      const data = encode(scope.result);
      next = this.#next(held.record, data, scope.cookie, source.touch);
    } catch (error) {
      held.release();
      throw error;
    }
    const record = await this.#close(held, next);
    source.carry?.leave(held.sid, record);
  }

  async #logout(scope: RootScope): Promise<void> {
    const { held } = scope;
    try {
      // first destroyed, then let go: who waits is to find it missing
      const over = held.over();
      if (over) throw new SessionEndedError(over.why);
      if (!await this.end(held.sid, "logout", { record: held.record })) {
        throw new SessionEndedError();
      }
    } finally {
      held.release();
    }
  }

  /** The record after a handler, or `undefined` when there is nothing to write. */
  #next(
    record: StoredRecord,
    data: string,
    cookie: RootScope["cookie"],
    touch: boolean | undefined,
  ): SessionRecord | undefined {
    const { touchInterval } = this.#options;
    const changed = data !== record.data;
    const maxAge = cookie?.maxAge ?? record.maxAge;
    const expires = this.#expires(record, maxAge);
    const due = touch && touchInterval !== false &&
      expires - record.expires >= touchInterval;
    if (!changed && !cookie && !due) return undefined;
    return {
      ...record,
      data,
      maxAge,
      expires: Math.max(expires, cookie ? 0 : record.expires),
      cookie: cookie?.cookie ?? record.cookie,
      user: changed ? this.userOf(data) : record.user,
    };
  }

  #expires(record: SessionRecord, maxAge: number): number {
    return Math.min(Date.now() + maxAge, record.absoluteEnd ?? Infinity);
  }

  /** Closes a session; what somebody wrote past the door meanwhile is kept as a patch would keep it. */
  async #close(
    held: Held,
    next: SessionRecord | undefined,
  ): Promise<StoredRecord> {
    let closing = held.close(next);
    let closed = closing instanceof Promise ? await closing : closing;
    for (let tries = 0; closed.status === "changed"; tries++) {
      if (tries === MAX_TRIES) throw this.#unsound();
      const current = closed.record;
      let data: string;
      try {
        const patch = diff(
          JSON.parse(held.record.data),
          JSON.parse(next!.data),
        );
        data = this.#merged(held.sid, held.record, patch, current);
      } catch (error) {
        held.release();
        throw error;
      }
      next = { ...next!, data, ...binding(current), user: this.userOf(data) };
      closing = held.close(next, current.version);
      closed = await closing;
    }
    if (closed.status === "ended") throw new SessionEndedError(closed.why);
    if (closed.status === "lost") {
      throw new SessionTimeoutError("hold", this.#options.lockTimeout);
    }
    const record = { ...next ?? held.record, version: closed.version };
    if (next) this.#listener.written(held.sid, record, held.record);
    return record;
  }

  #unsound(): Error {
    return new SessionStoreError(
      "Cannot write the session as the store shows another version each time",
    );
  }

  /** Whom a session belongs to. */
  userOf(data: string): string | undefined {
    const user = this.#options.user?.(JSON.parse(data));
    if (user === undefined || user === null) return undefined;
    if (typeof user === "string") return user;
    throw new TypeError(
      `Cannot tell whom the session belongs to as the option user must return a string or undefined: received ${typeof user}`,
    );
  }

  /**
   * Begins a session under a fresh id.
   *
   * @throws {SessionStoreError} when the id is taken
   */
  async create(
    sid: string,
    commit: Commit,
    clientId: string,
    ctx: unknown,
  ): Promise<StoredRecord> {
    const { absoluteMaxAge } = this.#options;
    const now = Date.now();
    const absoluteEnd = absoluteMaxAge === undefined
      ? undefined
      : now + absoluteMaxAge;
    const record: SessionRecord = {
      data: commit.data,
      maxAge: commit.maxAge,
      expires: Math.min(now + commit.maxAge, absoluteEnd ?? Infinity),
      absoluteEnd,
      cookie: commit.cookie,
      clientId,
      settled: false,
      user: this.userOf(commit.data),
    };
    const before = await this.ofClient(clientId, ctx);
    const version = await this.door.ask(
      "write",
      (records) => records.write(sid, record, null, ctx),
    );
    if (version === undefined) {
      throw new SessionStoreError(
        "Cannot begin a session as genid returned an id that is in use",
      );
    }
    if (before) {
      await this.end(before.sid, "replaced", { record: before.record, ctx });
    }
    this.#listener.created(sid, record);
    return { ...record, version };
  }

  /**
   * Writes what a request changed, as a patch against what it had loaded. It
   * waits for a transaction on the session, and never overlaps one.
   */
  async commit(
    sid: string,
    base: StoredRecord,
    commit: Commit,
    ctx: unknown,
  ): Promise<Committed> {
    const scope = findScope(this.#frames.getStore(), sid);
    if (scope) return this.#commitInside(scope, base, commit);
    if (this.#shared) {
      const record = this.#committed(base, commit.data, commit);
      const version = await this.door.ask(
        "write",
        (records) => records.write(sid, record, base.version, ctx),
      );
      if (version !== undefined) return this.#done(sid, record, base, version);
    }
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const opened = await this.#open(sid, ctx, true);
      if ("missing" in opened) return { status: "ended" };
      const outcome = await this.#commitHeld(opened, base, commit);
      if (outcome) return outcome;
    }
    throw this.#unsound();
  }

  async #commitHeld(
    held: Held,
    base: StoredRecord,
    commit: Commit,
  ): Promise<Committed | undefined> {
    let current = held.record;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      let next: SessionRecord;
      try {
        const data = current.version === base.version
          ? commit.data
          : this.#merged(held.sid, base, patchOf(base, commit), current);
        next = this.#committed(current, data, commit);
      } catch (error) {
        held.release();
        throw error;
      }
      const closed = await held.close(next, current.version);
      if (closed.status === "done") {
        return this.#done(held.sid, next, current, closed.version);
      }
      // a patch may be tried again: lost turns and endings are seen at the next opening
      if (closed.status !== "changed") return undefined;
      current = closed.record;
    }
    held.release();
    return undefined;
  }

  #commitInside(scope: Scope, base: StoredRecord, commit: Commit): Committed {
    const { held } = scope.top;
    if (scope.result === null) return { status: "ended" };
    scope.apply(patchOf(base, commit));
    scope.top.cookie = { cookie: commit.cookie, maxAge: commit.maxAge };
    // nothing is stored yet, so the base stays: if the handler throws, these changes are pending still
    return { status: "done", sid: held.sid, record: base };
  }

  #committed(
    current: SessionRecord,
    data: string,
    commit: Commit,
  ): SessionRecord {
    return {
      ...binding(current),
      data,
      maxAge: commit.maxAge,
      expires: this.#expires(current, commit.maxAge),
      cookie: commit.cookie,
      user: data === current.data ? current.user : this.userOf(data),
    };
  }

  #done(
    sid: string,
    next: SessionRecord,
    before: SessionRecord,
    version: StoredRecord["version"],
  ): Committed {
    const record = { ...next, version };
    this.#listener.written(sid, record, before);
    return { status: "done", sid, record };
  }

  /** The data that a request has in hand, laid over what is stored now. */
  carried(
    sid: string,
    base: SessionRecord,
    data: string,
    current: SessionRecord,
  ): string {
    if (base.data === data) return current.data;
    const patch = diff(JSON.parse(base.data), JSON.parse(data));
    return this.#merged(sid, base, patch, current);
  }

  #merged(
    sid: string,
    base: SessionRecord,
    patch: Patch,
    current: SessionRecord,
  ): string {
    if (patch.size === 0) return current.data;
    const { onConflict } = this.#options;
    const { data, conflicts } = merge(
      JSON.parse(base.data),
      patch,
      JSON.parse(current.data),
      typeof onConflict === "function" ? onConflict : ({ mine }) => mine,
    );
    if (conflicts.length > 0) {
      this.counts.conflicts++;
      const resolution = typeof onConflict === "function"
        ? "custom"
        : onConflict;
      this.#listener.conflict({ sessionId: sid, keys: conflicts, resolution });
      if (onConflict === "reject") throw new SessionConflictError(conflicts);
    }
    return JSON.stringify(data);
  }

  /**
   * Ends a session at once, whoever holds it.
   *
   * @returns whether there was one alive that this call ended
   */
  async end(
    sid: string,
    reason: EndReason,
    known: { readonly record?: SessionRecord; readonly ctx?: unknown } = {},
  ): Promise<boolean> {
    const scope = findScope(this.#frames.getStore(), sid);
    if (scope) scope.top.ended = true;
    const moving = this.#moving.get(sid);
    if (moving) return await this.#endMoved(moving, sid, reason, known.ctx);
    const ending = this.#ending.get(sid);
    if (ending) {
      // acknowledged when it is true, and to the first one only
      await ending;
      return false;
    }
    let settle!: (ended: boolean) => void;
    this.#ending.set(sid, new Promise((resolve) => settle = resolve));
    let ended = false;
    try {
      return ended = await this.#end(sid, reason, known);
    } finally {
      settle(ended);
      this.#ending.delete(sid);
    }
  }

  async #end(
    sid: string,
    reason: EndReason,
    known: { readonly record?: SessionRecord; readonly ctx?: unknown },
  ): Promise<boolean> {
    const { ctx } = known;
    const record = known.record ?? await this.load(sid, ctx);
    const existed = await this.door.ask(
      "destroy",
      (records) => records.destroy(sid, undefined, ctx),
    ) && isAlive(record as StoredRecord | undefined);
    this.door.revoke(sid, reason);
    if (record && (existed || reason === "expired")) {
      this.#listener.ended(sid, record, reason);
    }
    return existed;
  }

  /** Ends a session that is being given a new id right now: under the new one. */
  async #endMoved(
    moving: Promise<unknown>,
    sid: string,
    reason: EndReason,
    ctx: unknown,
  ): Promise<boolean> {
    await moving.catch(() => {});
    const to = await this.movedTo(sid);
    return await this.end(to ?? sid, reason, ctx === undefined ? {} : { ctx });
  }

  /** Whether this process is ending the session right now. */
  isEnding(sid: string): boolean {
    return this.#ending.has(sid) || this.#moving.has(sid);
  }

  /** Gives a session a new id: the old one is dead, and who waits for it goes on under the new one. */
  async rotate(
    from: string,
    to: string,
    base: StoredRecord,
    commit: Commit,
    how: {
      readonly sockets: "follow" | "leave";
      readonly clientId: string | undefined;
    },
    ctx: unknown,
  ): Promise<Committed> {
    const frame = this.#frames.getStore();
    const scope = findScope(frame, from);
    if (scope) {
      return await this.#rotateInside(scope, to, base, commit, how, ctx);
    }
    const opened = await this.#open(from, ctx, true);
    if ("missing" in opened) return { status: "ended" };
    if (opened.sid !== from) {
      // somebody else regenerated it first: there is one new id, theirs
      opened.release();
      return await this.commit(opened.sid, base, commit, ctx);
    }
    try {
      const current = opened.record;
      const data = current.version === base.version
        ? commit.data
        : this.#merged(from, base, patchOf(base, commit), current);
      const next = this.#renamed(this.#committed(current, data, commit), how);
      const version = await this.#move(from, to, next, current, how, ctx);
      if (version === undefined) return { status: "ended" };
      return { status: "done", sid: to, record: { ...next, version } };
    } finally {
      opened.release();
    }
  }

  async #rotateInside(
    scope: Scope,
    to: string,
    base: StoredRecord,
    commit: Commit,
    how: {
      readonly sockets: "follow" | "leave";
      readonly clientId: string | undefined;
    },
    ctx: unknown,
  ): Promise<Committed> {
    const { top } = scope;
    const { held } = top;
    if (scope.result === null) return { status: "ended" };
    scope.apply(patchOf(base, commit));
    // the handler is not over: what it has changed so far is not written yet
    const next = this.#renamed(
      this.#committed(held.record, held.record.data, commit),
      how,
    );
    let opened: Opened | undefined;
    const version = await this.#move(
      held.sid,
      to,
      next,
      held.record,
      how,
      ctx,
      async () => {
        // while nobody else knows the new id
        opened = await this.door.open(to, ctx);
      },
    );
    if (version === undefined || !opened || "missing" in opened) {
      return { status: "ended" };
    }
    held.release();
    top.held = opened;
    // the data of the base with the version of the base: the next patch is merged, not written as it is
    const { data, version: seen } = base;
    return {
      status: "done",
      sid: to,
      record: { ...next, data, version: seen },
    };
  }

  #renamed(
    record: SessionRecord,
    how: {
      readonly sockets: "follow" | "leave";
      readonly clientId: string | undefined;
    },
  ): SessionRecord {
    return how.clientId === undefined
      ? record
      : { ...record, clientId: how.clientId, settled: false };
  }

  async #move(
    from: string,
    to: string,
    next: SessionRecord,
    before: SessionRecord,
    how: { readonly sockets: "follow" | "leave" },
    ctx: unknown,
    written?: () => Promise<void>,
  ): Promise<StoredRecord["version"] | undefined> {
    const ending = this.#ending.get(from);
    const moved = this.#moveRecord(from, to, next, ctx, written);
    this.#moving.set(from, moved);
    try {
      const version = await moved;
      // an end that was under way when this began is the last word
      if (version === undefined || await ending) {
        await this.door.ask(
          "destroy",
          (records) => records.destroy(to, undefined, ctx),
        );
        return undefined;
      }
      this.#listener.rotated(from, to, next, before, how.sockets);
      this.door.revoke(from, "rotated");
      return version;
    } finally {
      this.#moving.delete(from);
    }
  }

  async #moveRecord(
    from: string,
    to: string,
    next: SessionRecord,
    ctx: unknown,
    written?: () => Promise<void>,
  ): Promise<StoredRecord["version"] | undefined> {
    const version = await this.door.ask(
      "write",
      (records) => records.write(to, next, null, ctx),
    );
    if (version === undefined) {
      throw new SessionStoreError(
        "Cannot regenerate the session as genid returned an id that is in use",
      );
    }
    await written?.();
    const existed = await this.door.ask(
      "destroy",
      (records) => records.destroy(from, { movedTo: to }, ctx),
    );
    return existed ? version : undefined;
  }

  /**
   * Changes what is kept beside the data: whom the session is bound to.
   *
   * @returns the record as it is now, or `record` itself when others held the
   * session for too long: the next one who comes by will do it
   */
  async amend(
    sid: string,
    record: StoredRecord,
    change: Partial<Pick<SessionRecord, "clientId" | "settled">>,
    ctx: unknown,
  ): Promise<StoredRecord> {
    if (!this.#takesTurns) {
      const next = { ...record, ...change };
      const version = await this.door.ask(
        "write",
        (records) => records.write(sid, next, record.version, ctx, false),
      );
      if (version !== undefined) return { ...next, version };
    }
    try {
      const opened = await this.door.open(sid, ctx);
      if ("missing" in opened) return record;
      const next = { ...opened.record, ...change };
      const closed = await opened.close(next);
      if (closed.status === "done") return { ...next, version: closed.version };
      opened.release();
    } catch (error) {
      if (!(error instanceof SessionTimeoutError)) throw error;
    }
    return record;
  }

  /** Prolongs a session's life, if nobody is at work on it: they do so themselves. */
  async touch(sid: string, maxAge: number, ctx?: unknown): Promise<boolean> {
    const extend = () =>
      this.door.ask(
        "touch",
        (records) => records.extend(sid, Date.now() + maxAge, ctx),
      );
    if (!this.#takesTurns) return await extend();
    if (!this.door.isFree(sid)) return true;
    return await this.door.exclusively(sid, extend);
  }
}

/**
 * What a call of `withSession` does when there is no session.
 *
 * @param args the arguments of the call: an explicit `undefined` is a value
 * @throws {TypeError} when the first of them, the handler, is no function
 */
export function missingPolicy(args: readonly unknown[]): () => unknown {
  const [handler, onMissing] = args;
  if (typeof handler !== "function") {
    throw new TypeError(
      `Cannot run withSession as handler must be a function: received ${
        handler === null ? "null" : typeof handler
      }`,
    );
  }
  return () => {
    if (args.length < 2) throw new SessionMissingError();
    if (onMissing instanceof Error) throw onMissing;
    return typeof onMissing === "function" ? onMissing() : onMissing;
  };
}

function patchOf(base: SessionRecord, commit: Commit): Patch {
  return base.data === commit.data
    ? new Map()
    : diff(JSON.parse(base.data), JSON.parse(commit.data));
}

/** What a record says beside the data and its life. */
function binding(
  { clientId, settled, absoluteEnd }: SessionRecord,
): Pick<SessionRecord, "clientId" | "settled" | "absoluteEnd"> {
  return { clientId, settled, absoluteEnd };
}
