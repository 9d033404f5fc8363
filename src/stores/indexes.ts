/**
 * Indexes of a store in memory: sessions by client and by user, and moved ids.
 *
 * @module
 */
import { MOVED_FOR, type SessionRecord } from "../api/store.ts";
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

/** The new ids of recently regenerated sessions, for requests already sent with the old ones. */
export class MovedIds {
  readonly #ids = new TtlMap<{ readonly to: string; readonly until: number }>(
    ({ until }) => until,
  );

  /** Records that the session `from` has the new id `to`. */
  set(from: string, to: string): void {
    this.#ids.set(from, { to, until: Date.now() + MOVED_FOR });
  }

  /** The new id of `from`, within {@linkcode MOVED_FOR} ms. */
  get(from: string): string | undefined {
    const moved = this.#ids.get(from);
    return moved && moved.until > Date.now() ? moved.to : undefined;
  }
}
