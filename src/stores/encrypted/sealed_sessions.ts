/**
 * Finding the sessions of an encrypted store.
 *
 * A session is stored under its id as the first key hashes it, or under that of
 * an older key until its next write, which moves it to the first key in one
 * step. So an id is looked for under each key in turn, and under the first one
 * again at the end: the session may have been moved there in between.
 *
 * @module
 */
import type {
  AtomicStore,
  Awaitable,
  MoveCondition,
  MoveResult,
  SessionRecord,
} from "../../api/store.ts";
import { chain, isThenable, withFinally } from "../../base/async.ts";
import type { StoreKey } from "./keys.ts";
import type { OpenedRecord, Sealing } from "./sealing.ts";

/** The sessions of the wrapped store, by the ids that their keys make. */
export class SealedSessions {
  readonly #store: AtomicStore;
  readonly #sealing: Sealing;
  /** Ids that are moved to another key, which is no removal of their sessions. */
  readonly rekeying = new Set<string>();

  constructor(store: AtomicStore, sealing: Sealing) {
    this.#store = store;
    this.#sealing = sealing;
  }

  /**
   * Tries each id that a session may be stored under until `isFound`.
   *
   * @param act is also told whether the id is that of the first key
   * @returns the last result
   */
  eachId<T>(
    sid: string,
    act: (id: string, isFirst: boolean) => Awaitable<T>,
    isFound: (result: T) => boolean,
  ): Awaitable<T> {
    const { keys } = this.#sealing;
    if (keys.length === 1) return act(this.#sealing.idOf(sid), true);
    const order = [...keys, keys[0]!];
    const next = (i: number): Awaitable<T> =>
      chain(
        act(this.#sealing.idOf(sid, order[i]), order[i] === keys[0]),
        (result) =>
          isFound(result) || i === order.length - 1 ? result : next(i + 1),
      );
    return next(0);
  }

  /** The first result over the keys that is not `undefined`. */
  firstOf<T>(
    look: (key: StoreKey) => Awaitable<T | undefined>,
  ): Awaitable<T | undefined> {
    const { keys } = this.#sealing;
    const next = (i: number): Awaitable<T | undefined> =>
      i === keys.length
        ? undefined
        : chain(look(keys[i]!), (found) => found ?? next(i + 1));
    return next(0);
  }

  /** The session with this id. */
  find(sid: string): Awaitable<OpenedRecord | undefined> {
    return this.eachId(
      sid,
      (id) => this.open(id),
      (found) => found !== undefined,
    );
  }

  /** What is stored under an id. */
  open(id: string): Awaitable<OpenedRecord | undefined> {
    return chain(
      this.#store.read(id),
      (stored) => this.#sealing.open(id, stored),
    );
  }

  /** The id of the session that is stored under an id. */
  sidOf(id: string): Awaitable<string | undefined> {
    return chain(this.open(id), (found) => found?.sid);
  }

  /**
   * Writes a session that an older key has, and moves it to the first one.
   *
   * @returns the result of the move; `undefined` when no older key has it
   */
  rekey(
    sid: string,
    record: SessionRecord,
    condition: MoveCondition,
  ): Awaitable<MoveResult | undefined> {
    const to = this.#sealing.idOf(sid);
    const sealed = this.#sealing.seal(sid, record);
    const [, ...older] = this.#sealing.keys;
    const next = (i: number): Awaitable<MoveResult | undefined> => {
      if (i === older.length) return undefined;
      const id = this.#sealing.idOf(sid, older[i]);
      const note = this.#sealing.rekeyNote(id);
      this.rekeying.add(id);
      return chain(
        withFinally(
          () => this.#store.move(id, to, sealed, condition, note),
          () => this.rekeying.delete(id),
        ),
        (result) => result.status === "missing" ? next(i + 1) : result,
      );
    };
    return next(0);
  }

  /**
   * Moves what an older key has under an id to the first key. One that is
   * written at the same time, or leased, is moved by its writer.
   */
  rekeyStored(id: string): Awaitable<unknown> {
    return chain(
      this.open(id),
      (found) =>
        found && this.rekey(found.sid, found.record, {
          expected: found.record.version,
        }),
    );
  }

  /** Moves the sessions of a client to the first key, so that a begin finds them. */
  rekeyClient(clientId: string | undefined): Awaitable<unknown> {
    const [, ...older] = this.#sealing.keys;
    if (older.length === 0 || clientId === undefined) return undefined;
    const ids = all(
      older.map((key) => this.#store.byClient(key.hash("client", clientId))),
    );
    return chain(ids, (found) =>
      all(
        found.filter(isDefined).map((id) => this.rekeyStored(id)),
      ));
  }
}

/** As `Promise.all`, synchronous where all values are there. */
export function all<T>(values: readonly Awaitable<T>[]): Awaitable<T[]> {
  return values.some(isThenable) ? Promise.all(values) : values as T[];
}

/** Whether a value is there; a predicate for `filter`. */
export function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}
