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
    if (user === undefined) return;
    const sids = this.#byUser.get(user);
    if (sids) sids.add(sid);
    else this.#byUser.set(user, new Set([sid]));
  }

  /** Takes a session out, and puts it in again where it belongs now. */
  replace(sid: string, old: Owners, now: Owners): void {
    if (old.clientId !== now.clientId) this.#removeClient(sid, old.clientId);
    if (old.user !== now.user) this.#removeUser(sid, old.user);
    this.add(sid, now);
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
