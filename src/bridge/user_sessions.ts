/**
 * The sessions of a user: listing them, and ending them.
 *
 * @module
 */
import type { SessionData } from "../api/store.ts";
import { refuse } from "../base/arguments.ts";
import { handleOf } from "../base/ids.ts";
import type { Transactions } from "../transaction/transactions.ts";
import type { Found } from "../transaction/lookup.ts";

/** A live session of a user. Neither spreading it nor JSON copies an id. */
export interface UserSession<S extends object = SessionData> {
  /** A name of the session that is no secret, for `destroyUser`; another one after each change of user. */
  readonly handle: string;
  /** Whether it is the session of the option `current`. */
  readonly current: boolean;
  /** When it was created, ms since the epoch; `undefined` for sessions of earlier versions. */
  readonly created: number | undefined;
  /** When its user last changed, ms since the epoch; `undefined` for sessions of earlier versions. */
  readonly authenticatedAt: number | undefined;
  /** When it was last used, ms since the epoch; `undefined` for sessions of earlier versions. */
  readonly lastUsed: number | undefined;
  /** When it ends unless something happens, ms since the epoch. */
  readonly expires: number;
  /** What the option `meta` returned at the last login. */
  readonly meta: Readonly<Record<string, unknown>> | undefined;
  /** A copy of its data. */
  readonly session: S;
  /** The session's id, a secret; not enumerable. */
  readonly sessionId: string;
  /** The client that it is bound to; not enumerable. */
  readonly clientId: string | undefined;
}

/** Which sessions of a user `destroyUser` ends; each is named by its handle or its id. */
export interface DestroyUserOptions {
  /** These alone; what is no session of this user is ignored. */
  readonly only?: string | readonly string[];
  /** All but these. */
  readonly except?: string | readonly string[];
}

/** Ends and lists the sessions of users. */
export class UserSessions {
  readonly #transactions: Transactions;
  readonly #enabled: boolean;

  /** @param enabled whether the option `user` is set */
  constructor(transactions: Transactions, enabled: boolean) {
    this.#transactions = transactions;
    this.#enabled = enabled;
  }

  /**
   * The id of a user as text.
   *
   * @throws {TypeError} when it is no id, or the option `user` is not set
   */
  idOf(action: string, user: unknown): string {
    if (!this.#enabled) {
      throw new TypeError(
        `Cannot ${action} as the option user must be set: it says which user a session belongs to`,
      );
    }
    if (typeof user === "number" && Number.isFinite(user)) return String(user);
    if (typeof user === "string") return user;
    refuse(action, "user", "a string or a number", user);
  }

  /** Ends sessions of a user, and returns how many ended. */
  async destroy(user: unknown, options: unknown): Promise<number> {
    const action = "end the sessions of a user";
    const id = this.idOf(action, user);
    const { only, except } = selectionOf(action, options);
    const own = await this.#transactions.lookup.ofUser(id);
    const ended = await Promise.all(
      own
        .filter((found) => !only || isNamed(only, found))
        .filter((found) => !except || !isNamed(except, found))
        .map(({ sid, record }) =>
          this.#transactions.end(sid, "revoked", { record })
        ),
    );
    return ended.filter(Boolean).length;
  }

  /** The live sessions of a user. */
  async list<S extends object>(
    user: unknown,
    current: string | undefined,
  ): Promise<UserSession<S>[]> {
    const id = this.idOf("list the sessions of a user", user);
    const own = await this.#transactions.lookup.ofUser(id, true);
    return own.map((found) => described<S>(found, current));
  }
}

function described<S extends object>(
  { sid, record }: Found,
  current: string | undefined,
): UserSession<S> {
  const { created, authenticatedAt, lastUsed, expires, meta } = record;
  const visible: Omit<UserSession<S>, "sessionId" | "clientId"> = {
    handle: handleOf(sid, record),
    current: sid === current,
    created,
    authenticatedAt,
    lastUsed,
    expires,
    meta: meta === undefined ? undefined : JSON.parse(meta),
    session: JSON.parse(record.data) as S,
  };
  return Object.defineProperties(visible, {
    sessionId: { value: sid },
    clientId: { value: record.clientId },
  }) as UserSession<S>;
}

function isNamed(names: ReadonlySet<string>, { sid, record }: Found): boolean {
  return names.has(sid) || names.has(handleOf(sid, record));
}

/**
 * Checks the options of a destruction. A name given as `undefined` is refused:
 * the id of a request without a session would end every session of the user.
 */
function selectionOf(
  action: string,
  options: unknown,
): Record<"only" | "except", ReadonlySet<string> | undefined> {
  const given = options ?? {};
  if (typeof given !== "object") {
    refuse(action, "options", "an object", options);
  }
  const namesOf = (name: "only" | "except") => {
    if (!(name in given)) return undefined;
    const value = (given as Record<string, unknown>)[name];
    const names: unknown[] = Array.isArray(value) ? value : [value];
    const wrong = names.findIndex((one) => typeof one !== "string");
    if (wrong >= 0) {
      refuse(
        action,
        name,
        "a handle or an id, or several, where it is given",
        names[wrong],
      );
    }
    return new Set(names as string[]);
  };
  return { only: namesOf("only"), except: namesOf("except") };
}
