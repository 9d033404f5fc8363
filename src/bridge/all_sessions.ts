/**
 * All live sessions: listing them, and ending them.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { refuse, refuseResult } from "../base/arguments.ts";
import { handleOf } from "../base/ids.ts";
import type { ScannedSession } from "../api/store.ts";
import type { Transactions } from "../transaction/transactions.ts";

/** How many sessions are read, or ended, before the event loop goes on. */
const BATCH = 50;

/** Sessions that were created up to this long after the call count as earlier, in ms: clocks differ. */
const CLOCK_SLACK = 2_000;

/** How often the store is read for sessions that changed their ids during the passes before. */
const MAX_PASSES = 10;

/** A live session, without its id and its data. */
export interface ListedSession {
  /** A name of the session that is no secret, for `destroyUser`. */
  readonly handle: string;
  /** The user that it belongs to, as text; `undefined` for a guest, and without the option `user`. */
  readonly user: string | undefined;
  /** When it was created, ms since the epoch; `undefined` for sessions of earlier versions. */
  readonly created: number | undefined;
  /** When its user last changed, ms since the epoch; `undefined` while it has had none. */
  readonly authenticatedAt: number | undefined;
  /** When it was last used, ms since the epoch; `undefined` for sessions of earlier versions. */
  readonly lastUsed: number | undefined;
  /** When it ends unless something happens, ms since the epoch. */
  readonly expires: number;
  /** What the option `meta` returned at the last login. */
  readonly meta: Readonly<Record<string, unknown>> | undefined;
}

/** Which sessions `destroyAll` ends. */
export interface DestroyAllOptions {
  /** Returns whether to end a session; left out, all end. It is synchronous. */
  readonly where?: (session: ListedSession) => boolean;
}

/** Lists and ends the sessions of the store. */
export class AllSessions {
  readonly #transactions: Transactions;

  constructor(transactions: Transactions) {
    this.#transactions = transactions;
  }

  /** The live sessions. */
  async *list(): AsyncGenerator<ListedSession, void, undefined> {
    for await (const batch of this.#batches("list all sessions")) {
      for (const found of batch) yield listed(found);
    }
  }

  /** Ends sessions, and returns how many ended. */
  async destroy(options: unknown): Promise<number> {
    const action = "end all sessions";
    const where = whereOf(action, options);
    const latest = Date.now() + CLOCK_SLACK;
    const isEnding = (found: ScannedSession) =>
      (found.record.created ?? 0) <= latest && where(listed(found));
    let total = 0;
    // a session that gets a new id during a pass may be missed by it
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      let ended = 0;
      for await (const batch of this.#batches(action)) {
        const results = await Promise.all(
          batch.filter(isEnding).map(({ sid, record }) =>
            this.#transactions.end(sid, "revoked", { record })
          ),
        );
        ended += results.filter(Boolean).length;
      }
      if (ended === 0) break;
      total += ended;
    }
    return total;
  }

  async *#batches(
    action: string,
  ): AsyncGenerator<readonly ScannedSession[], void, undefined> {
    for await (const batch of this.#transactions.scan(action, BATCH)) {
      for (let from = 0; from < batch.length; from += BATCH) {
        yield batch.slice(from, from + BATCH);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }
  }
}

function listed({ sid, record }: ScannedSession): ListedSession {
  const { user, created, authenticatedAt, lastUsed, expires, meta } = record;
  return {
    handle: handleOf(sid, record),
    user,
    created,
    authenticatedAt,
    lastUsed,
    expires,
    meta: meta === undefined ? undefined : JSON.parse(meta),
  };
}

function whereOf(
  action: string,
  options: unknown,
): (session: ListedSession) => boolean {
  const given = options ?? {};
  if (typeof given !== "object") {
    refuse(action, "options", "an object", options);
  }
  const { where } = given as { where?: unknown };
  if (where === undefined) {
    // an undefined condition would end every session
    if ("where" in given) {
      refuse(action, "where", "a function where it is given", where);
    }
    return () => true;
  }
  if (typeof where !== "function") {
    refuse(action, "where", "a function", where);
  }
  return (session) => {
    const result: unknown = where(session);
    if (typeof result === "boolean") return result;
    refuseResult(action, "where", "a boolean", result);
  };
}
