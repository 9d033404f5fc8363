/**
 * Whose sessions a store holds.
 *
 * @module
 */
import { MOVED_FOR, type SessionRecord } from "../api/store.ts";
import { TtlMap } from "../base/ttl_map.ts";

/** Whom a session belongs to. */
export type Owners = Pick<SessionRecord, "clientId" | "user">;

/** The sessions of a client, of which the last counts, and those of a user. */
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

  /** A session may belong to others now. A late write of one that is being replaced takes nothing back. */
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

/** Where sessions went that were regenerated a moment ago, for those under way to their old ids. */
export class MovedIds {
  readonly #ids = new TtlMap<{ readonly to: string; readonly until: number }>(
    ({ until }) => until,
  );

  /** Remembers that `from` goes on as `to`. */
  set(from: string, to: string): void {
    this.#ids.set(from, { to, until: Date.now() + MOVED_FOR });
  }

  /** Where `from` went, if that was not too long ago. */
  get(from: string): string | undefined {
    const moved = this.#ids.get(from);
    return moved && moved.until > Date.now() ? moved.to : undefined;
  }
}
