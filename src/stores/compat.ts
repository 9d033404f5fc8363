/**
 * Adapters that make stores of express-session, and Keyv, stores of the basic
 * tier. Two processes on such a store can overwrite each other's changes,
 * whatever its database is.
 *
 * @module
 */
import { refuse } from "../base/arguments.ts";
import { called } from "../base/async.ts";
import { type BasicStore, ONE_DAY, type SessionData } from "../api/store.ts";

export type * from "../api/store_contract.ts";

/** The callback of an express-session store. */
export type ExpressCallback<T = unknown> = (
  error?: unknown,
  result?: T | null,
) => void;

/** The methods of an express-session store that are used. */
export interface ExpressStore {
  /** Calls back with the session, or with nothing. */
  get(sid: string, callback: ExpressCallback<object>): unknown;
  /** Stores the session for as long as its cookie lives. */
  set(sid: string, session: ExpressSession, callback: ExpressCallback): unknown;
  /** Removes the session. */
  destroy(sid: string, callback: ExpressCallback): unknown;
  /** Restarts its life, where the store can. */
  touch?(
    sid: string,
    session: ExpressSession,
    callback: ExpressCallback,
  ): unknown;
}

/** The session object that an express-session store is given. */
export interface ExpressSession {
  /** The cookie, from which stores derive how long the session lives. */
  readonly cookie: {
    /** The life in ms, as it was set. */
    readonly originalMaxAge: number;
    /** The rest of its life, in ms from now. */
    readonly maxAge: number;
    /** The end of its life. */
    readonly expires: Date;
    /** Always `true`. */
    readonly httpOnly: boolean;
    /** Always `"/"`. */
    readonly path: string;
  };
  /** The session as JSON text, separate from keys that the store may add. */
  readonly koa: string;
}

/**
 * Makes a store of express-session a store for the bridge: connect-redis,
 * connect-pg-simple, session-file-store, memorystore and their like.
 *
 * The session is stored as JSON text under the key `koa`, so conversions by the
 * store or its database do not affect it, and a session may have a key named
 * `cookie`. Sessions that express-session itself has stored are ignored. If the
 * store rounds to seconds, lives are rounded to seconds.
 *
 * @param store an instance, connected if it has to be
 * @returns a store whose methods reject with the error that a callback is given
 * @throws {TypeError} when `get`, `set` or `destroy` is missing
 *
 * @example
 * ```ts ignore
 * import { bridgeSession } from "@koa-io/session";
 * import { fromExpressStore } from "@koa-io/session/compat";
 * import { RedisStore } from "connect-redis";
 *
 * const store = fromExpressStore(new RedisStore({ client }));
 * bridgeSession(app, io, { store });
 * ```
 *
 * @example A minimal express-session store
 * ```ts
 * import { type ExpressStore, fromExpressStore } from "@koa-io/session/compat";
 * import { assertEquals } from "@std/assert";
 *
 * const sessions = new Map<string, object>();
 * const express: ExpressStore = {
 *   get: (sid, callback) => callback(null, sessions.get(sid)),
 *   set: (sid, session, callback) => callback(null, sessions.set(sid, session)),
 *   destroy: (sid, callback) => callback(null, sessions.delete(sid)),
 * };
 * const store = fromExpressStore(express);
 * await store.set("sid", { user: "ada" }, 60_000);
 * assertEquals(await store.get("sid"), { user: "ada" });
 * ```
 */
export function fromExpressStore(store: ExpressStore): BasicStore {
  needs("express-session store", store, ["get", "set", "destroy"]);
  const adapted: BasicStore = {
    async get(sid) {
      const stored = await ask<object>((done) => store.get(sid, done));
      return parsed((stored as Partial<ExpressSession> | null)?.koa);
    },
    async set(sid, session, maxAge) {
      const wrapped = wrap(session, maxAge);
      await ask((done) => store.set(sid, wrapped, done));
    },
    async destroy(sid) {
      await ask((done) => store.destroy(sid, done));
    },
  };
  if (typeof store.touch === "function") {
    adapted.touch = async (sid, session, maxAge) => {
      const wrapped = wrap(session, maxAge);
      await ask((done) => store.touch!(sid, wrapped, done));
    };
  }
  return adapted;
}

/** What is used of a Keyv, version 5 or 6. */
export interface KeyvLike {
  /** The value, or `undefined`. */
  get(key: string): Promise<unknown>;
  /** Stores the value for `ttl` ms; `false` when that failed. */
  set(key: string, value: string, ttl?: number): Promise<unknown>;
  /** Removes the value. */
  delete(key: string): Promise<unknown>;
  /** Version 5: whether a failing database is an error to the caller. */
  readonly throwOnErrors?: boolean | undefined;
  /** Version 6 reports failures by its event `error`. */
  on?(event: "error", listener: (error: unknown) => void): unknown;
}

/**
 * Makes a Keyv a store for the bridge, with whatever database it has: Postgres,
 * MongoDB, MySQL, etcd, Redis…
 *
 * Keyv 5 must have been made with `throwOnErrors: true`. Otherwise it reports a
 * missing session when its database is down, and users are logged out. Some
 * adapters, `@keyv/redis` among them, have their own option of that name. Keyv
 * 6 has it no more: there a call rejects if an event `error` is emitted before
 * it is answered, whichever call caused it.
 *
 * @param keyv an instance; values are JSON text under the session's id, so give it a namespace of its own
 * @returns a store whose methods reject with Keyv's errors
 * @throws {TypeError} when `get`, `set` or `delete` is missing, or `throwOnErrors` is `false`
 *
 * @example
 * ```ts ignore
 * import KeyvPostgres from "@keyv/postgres";
 * import { bridgeSession } from "@koa-io/session";
 * import { fromKeyv } from "@koa-io/session/compat";
 * import { Keyv } from "keyv";
 *
 * const database = new KeyvPostgres({ uri: "postgres://localhost/app" });
 * const keyv = new Keyv({
 *   store: database,
 *   namespace: "sessions",
 *   throwOnErrors: true,
 * });
 * bridgeSession(app, io, { store: fromKeyv(keyv) });
 * ```
 *
 * @example A minimal Keyv
 * ```ts
 * import { fromKeyv } from "@koa-io/session/compat";
 * import { assertEquals } from "@std/assert";
 *
 * const values = new Map<string, unknown>();
 * const store = fromKeyv({
 *   get: (key) => Promise.resolve(values.get(key)),
 *   set: (key, value) => Promise.resolve(values.set(key, value)),
 *   delete: (key) => Promise.resolve(values.delete(key)),
 *   throwOnErrors: true,
 * });
 * await store.set("sid", { user: "ada" }, 60_000);
 * assertEquals(await store.get("sid"), { user: "ada" });
 * ```
 */
export function fromKeyv(keyv: KeyvLike): BasicStore {
  needs("Keyv", keyv, ["get", "set", "delete"]);
  if (keyv.throwOnErrors === false) {
    throw new TypeError(
      "Cannot adapt the Keyv as throwOnErrors must be true: received false",
    );
  }
  const watched = watchErrors(keyv);
  return {
    async get(sid) {
      return parsed(await watched(() => keyv.get(sid)));
    },
    async set(sid, session, maxAge) {
      const text = JSON.stringify(session);
      const stored = await watched(() => keyv.set(sid, text, ttl(maxAge)));
      if (stored === false) {
        throw new Error("Cannot set the session as Keyv could not store it");
      }
    },
    async destroy(sid) {
      await watched(() => keyv.delete(sid));
    },
  };
}

/** Makes calls that reject with an error that is emitted before they are answered. */
function watchErrors(
  keyv: KeyvLike,
): <T>(call: () => Promise<T>) => Promise<T> {
  if (keyv.throwOnErrors || typeof keyv.on !== "function") {
    return (call) => call();
  }
  const waiting = new Set<(error: unknown) => void>();
  keyv.on("error", (error) => {
    for (const fail of waiting) fail(error);
  });
  return (call) =>
    new Promise((resolve, reject) => {
      waiting.add(reject);
      const answer = async () => await call();
      answer().then(resolve, reject).finally(() => waiting.delete(reject));
    });
}

function ttl(maxAge: number | "session" | undefined): number {
  return typeof maxAge === "number" ? maxAge : ONE_DAY;
}

function wrap(
  session: SessionData,
  maxAge: number | "session" | undefined,
): ExpressSession {
  const ms = ttl(maxAge);
  const cookie = {
    originalMaxAge: ms,
    maxAge: ms,
    expires: new Date(Date.now() + ms),
    httpOnly: true,
    path: "/",
  };
  return { cookie, koa: JSON.stringify(session) };
}

function parsed(text: unknown): SessionData | undefined {
  return typeof text === "string" ? JSON.parse(text) as SessionData : undefined;
}

/** Calls a method of a store. That a session is not there is no error. */
function ask<T>(
  call: (done: ExpressCallback<T>) => unknown,
): Promise<T | null | undefined> {
  return called<T>((done) => {
    const answer = call((error, result) =>
      // stores on files report a missing session so; express-session ignores it too
      (error as { code?: unknown } | null)?.code === "ENOENT"
        ? done()
        : done(error, result)
    );
    // other thenables, such as queries of a database, may act once more when they are awaited
    return answer instanceof Promise ? answer : undefined;
  });
}

function needs(what: string, value: object, methods: readonly string[]): void {
  for (const name of methods) {
    const method = (value as Record<string, unknown> | null)?.[name];
    if (typeof method !== "function") {
      refuse(`adapt the ${what}`, name, "a function", method);
    }
  }
}
