/**
 * Whose sessions a store holds.
 *
 * @module
 */
import type { SessionRecord } from "./store.ts";

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
