/**
 * Indexes of a store in memory: sessions by client and by user, and former ids.
 *
 * @module
 */
import { type FormerId, MOVED_FOR, type SessionRecord } from "../api/store.ts";
import { isRecent } from "../base/store_conditions.ts";
import { TtlMap } from "../base/ttl_map.ts";

/** The client and the user that a session belongs to. */
export type Owners = Pick<SessionRecord, "clientId" | "user">;

/** The last session of each client, and all sessions of each user. */
export class OwnerIndex {
  readonly #byClient = new Map<string, string>();
  readonly #byUser = new Map<string, Set<string>>();

  byClient(clientId: string): string | undefined {
    return this.#byClient.get(clientId);
  }

  byUser(user: string): readonly string[] {
    return [...this.#byUser.get(user) ?? []];
  }

  add(sid: string, { clientId, user }: Owners): void {
    if (clientId !== undefined) this.#byClient.set(clientId, sid);
    this.#addUser(sid, user);
  }

  /** Updates a session's client and user. A late write of a session that its client has replaced leaves the client's index as it is. */
  replace(sid: string, old: Owners, now: Owners): void {
    const { clientId } = now;
    if (old.clientId !== clientId) {
      this.#removeClient(sid, old.clientId);
      if (clientId !== undefined) this.#byClient.set(clientId, sid);
    }
    if (old.user !== now.user) {
      this.#removeUser(sid, old.user);
      this.#addUser(sid, now.user);
    }
  }

  /** Updates the index after a session has changed its id. A session that its client has replaced leaves the client's index as it is. */
  move(from: string, to: string, old: Owners, now: Owners): void {
    const { clientId } = now;
    if (clientId !== undefined) {
      const last = this.#byClient.get(clientId);
      if (clientId !== old.clientId || last === undefined || last === from) {
        this.#byClient.set(clientId, to);
      }
    }
    this.remove(from, old);
    this.#addUser(to, now.user);
  }

  /** Makes a session the last one of a client. */
  point(clientId: string, sid: string): void {
    this.#byClient.set(clientId, sid);
  }

  #addUser(sid: string, user: string | undefined): void {
    if (user === undefined) return;
    const sids = this.#byUser.get(user);
    if (sids) sids.add(sid);
    else this.#byUser.set(user, new Set([sid]));
  }

  remove(sid: string, { clientId, user }: Owners): void {
    this.#removeClient(sid, clientId);
    this.#removeUser(sid, user);
  }

  #removeClient(sid: string, clientId: string | undefined): void {
    if (clientId !== undefined && this.#byClient.get(clientId) === sid) {
      this.#byClient.delete(clientId);
    }
  }

  #removeUser(sid: string, user: string | undefined): void {
    if (user === undefined) return;
    const sids = this.#byUser.get(user);
    if (sids?.delete(sid) && sids.size === 0) this.#byUser.delete(user);
  }
}

/** How many former ids are kept at most. */
const MAX_FORMER = 10_000;

/** The notes on ids whose sessions were moved, or ended with a note. */
export class FormerIds {
  readonly #ids = new TtlMap<FormerId>(({ at }) => at + MOVED_FOR, MAX_FORMER);

  /** Records that the session `sid` was moved to another id, or ended (`undefined`). */
  set(sid: string, to: string | undefined, note: string): void {
    // a map keeps the order of insertion, and drops from its old end
    this.#ids.delete(sid);
    this.#ids.set(sid, { to, at: Date.now(), note });
  }

  /** The note, within {@linkcode MOVED_FOR} ms. */
  get(sid: string): FormerId | undefined {
    const former = this.#ids.get(sid);
    return former && isRecent(former, Date.now()) ? former : undefined;
  }

  delete(sid: string): void {
    this.#ids.delete(sid);
  }
}
