/**
 * The index of sessions by client, hash and user. Each entry is a hint under a
 * key of its own, outside of the scripts: in a Redis Cluster it is on another
 * node. It lasts longer than the session, and is renewed before the session
 * outlives it.
 *
 * @module
 */
import { EXPIRED_GRACE } from "../../api/store.ts";
import { type Indexed, whole } from "./record.ts";
import * as scripts from "./scripts.ts";
import type { Keyspace } from "./keys.ts";

type Owner = Partial<Pick<Indexed, "clientId" | "user">>;

/** How much longer than a session its entries last at most, in ms. */
const MAX_SLACK = 3_600_000;

/** The end of the session up to which its entries need not be renewed. */
export function indexedUntil(entry: Indexed): string {
  return whole(entry.expires + slackOf(entry) / 2);
}

/** The index of sessions by client, hash and user. */
export class Index {
  readonly #keyspace: Keyspace;

  constructor(keyspace: Keyspace) {
    this.#keyspace = keyspace;
  }

  /** Adds all entries of a new session. */
  addAll(sid: string, entry: Indexed): Promise<unknown>[] {
    return this.#addEntries(sid, entry, false);
  }

  /** Adds the other entries of a new session. */
  addHashAndUser(sid: string, entry: Indexed): Promise<unknown>[] {
    return [this.#setHash(sid, entry), ...this.addToUser(sid, entry)];
  }

  /** Adds the session to those of its user. */
  addToUser(sid: string, entry: Indexed): Promise<unknown>[] {
    return entry.user === undefined ? [] : [
      this.#keyspace.run(scripts.ADD_MEMBER, [
        this.#keyspace.named("u", entry.user),
      ], [
        expiryOf(entry),
        sid,
      ]),
    ];
  }

  /** After a write: updates the entries of a changed client or user, and renews entries that would expire too early. Usually there are none. */
  async update(
    sid: string,
    entry: Indexed,
    old: Owner,
    stale: boolean,
  ): Promise<void> {
    const clientChanged = old.clientId !== entry.clientId;
    const userChanged = old.user !== entry.user;
    if (!stale && !clientChanged && !userChanged) return;
    await Promise.all([
      ...(clientChanged ? this.#removeFromClient(sid, old) : []),
      ...(userChanged ? this.#removeFromUser(sid, old) : []),
      ...(clientChanged ? this.#setClient(sid, entry, false) : []),
      ...(stale ? this.#addEntries(sid, entry, true) : []),
    ]);
    if (!stale) return;
    const key = this.#keyspace.key("s", sid);
    await this.#keyspace.run(scripts.SET_INDEXED_UNTIL, [key], [
      indexedUntil(entry),
    ]);
  }

  /** Removes the entries of a session that has ended. Errors are ignored: left entries expire. */
  async removeAll(sid: string, old: Owner): Promise<void> {
    await Promise.allSettled([
      this.#keyspace.run(scripts.DELETE_POINTER, [
        this.#keyspace.named("h", sid),
      ], [sid]),
      ...this.#removeFromClient(sid, old),
      ...this.#removeFromUser(sid, old),
    ]);
  }

  /** @param onlyIfOwn keeps a client's pointer to another session */
  #addEntries(
    sid: string,
    entry: Indexed,
    onlyIfOwn: boolean,
  ): Promise<unknown>[] {
    return [
      ...this.addHashAndUser(sid, entry),
      ...this.#setClient(sid, entry, onlyIfOwn),
    ];
  }

  #setHash(sid: string, entry: Indexed): Promise<unknown> {
    const hash = this.#keyspace.named("h", sid);
    return this.#keyspace.run(scripts.SET_POINTER, [hash], [
      sid,
      expiryOf(entry),
      "0",
    ]);
  }

  #setClient(
    sid: string,
    entry: Indexed,
    onlyIfOwn: boolean,
  ): Promise<unknown>[] {
    return entry.clientId === undefined ? [] : [
      this.#keyspace.run(scripts.SET_POINTER, [
        this.#keyspace.named("c", entry.clientId),
      ], [
        sid,
        expiryOf(entry),
        onlyIfOwn ? "1" : "0",
      ]),
    ];
  }

  #removeFromClient(sid: string, { clientId }: Owner): Promise<unknown>[] {
    return clientId === undefined ? [] : [
      this.#keyspace.run(scripts.DELETE_POINTER, [
        this.#keyspace.named("c", clientId),
      ], [
        sid,
      ]),
    ];
  }

  #removeFromUser(sid: string, { user }: Owner): Promise<unknown>[] {
    return user === undefined ? [] : [
      this.#keyspace.run(scripts.REMOVE_MEMBER, [
        this.#keyspace.named("u", user),
      ], [sid]),
    ];
  }
}

/** When the entries of a session expire. */
export function expiryOf(entry: Indexed): string {
  return whole(entry.expires + slackOf(entry) + EXPIRED_GRACE);
}

/** How much longer than its session an entry lasts: it need not be renewed with every extension. */
function slackOf({ maxAge }: Indexed): number {
  return Math.min(maxAge / 2, MAX_SLACK);
}
