/**
 * What this process knows of the sessions in a basic store: which client and
 * user they are bound to.
 *
 * @module
 */
import type { BeginOptions, SessionRecord } from "../../api/store.ts";
import { type Refusal, refusalOf } from "../../base/store_conditions.ts";
import { OwnerIndex } from "../indexes.ts";

/** What is kept of a session, as a removed one cannot be read any more. */
type Bound = Pick<SessionRecord, "clientId" | "user" | "arrived">;

/** A session that is about to be written. */
export interface Reservation {
  /** It was written. */
  readonly confirm: () => void;
  /** It was not. */
  readonly cancel: () => void;
}

/** The sessions that were read or written in this process. */
export class BoundSessions {
  readonly #owners = new OwnerIndex();
  readonly #bound = new Map<string, Bound>();
  readonly #reserved = new Set<string>();

  byClient(clientId: string): string | undefined {
    return this.#owners.byClient(clientId);
  }

  byUser(user: string): readonly string[] {
    return this.#owners.byUser(user);
  }

  /** The ids of all of them. */
  *batches(limit: number): Generator<readonly string[]> {
    let batch: string[] = [];
    for (const sid of this.#bound.keys()) {
      if (batch.push(sid) < limit) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  set(sid: string, { clientId, user, arrived }: Bound): void {
    const old = this.#bound.get(sid);
    const bound = { clientId, user, arrived };
    if (clientId === undefined && user === undefined) return this.remove(sid);
    this.#bound.set(sid, bound);
    if (old) this.#owners.replace(sid, old, bound);
    else this.#owners.add(sid, bound);
  }

  remove(sid: string): void {
    const old = this.#bound.get(sid);
    if (!old) return;
    this.#bound.delete(sid);
    this.#owners.remove(sid, old);
  }

  /** After a session has changed its id. */
  move(from: string, to: string, now: Bound): void {
    const { clientId, user, arrived } = now;
    const old = this.#bound.get(from) ??
      { clientId: undefined, user: undefined, arrived: undefined };
    this.#bound.delete(from);
    if (clientId !== undefined || user !== undefined) {
      this.#bound.set(to, { clientId, user, arrived });
    }
    this.#owners.move(from, to, old, now);
  }

  /** Why a session may not take its client from the one that has it, if that one is alive. */
  refusal(record: SessionRecord, options: BeginOptions): Refusal | undefined {
    const { clientId } = record;
    const before = clientId === undefined ? undefined : this.byClient(clientId);
    if (before === undefined) return undefined;
    const arrived = this.#bound.get(before)?.arrived;
    return refusalOf(record, options, before, arrived);
  }

  /** Makes a session that is about to be written the one of its client, in place of `before`. */
  reserve(
    sid: string,
    record: SessionRecord,
    before: string | undefined,
  ): Reservation {
    const { clientId } = record;
    this.#reserved.add(sid);
    this.set(sid, record);
    return {
      confirm: () => void this.#reserved.delete(sid),
      cancel: () => {
        this.#reserved.delete(sid);
        const isLast = clientId !== undefined &&
          this.byClient(clientId) === sid;
        this.remove(sid);
        if (!isLast || before === undefined) return;
        if (this.#bound.get(before)?.clientId === clientId) {
          this.#owners.point(clientId, before);
        }
      },
    };
  }

  /** Whether a session is about to be written. */
  isReserved(sid: string): boolean {
    return this.#reserved.has(sid);
  }
}
