/**
 * Ways to a session other than by its id. Each entry is a hint under a key of
 * its own, outside of the scripts: in a Redis Cluster it stands elsewhere. It
 * lasts longer than the session, and is renewed before the session outlives it.
 *
 * @module
 */
import { EXPIRED_GRACE, type SessionRecord } from "../../api/store.ts";
import { type Binding, whole } from "./record.ts";
import * as scripts from "./scripts.ts";
import type { Space } from "./keys.ts";

/** A record as far as the index goes. */
type Entry = Binding & Pick<SessionRecord, "expires">;

/** Up to which end of the session its entries need not be renewed. */
export function suffice({ expires, maxAge }: Entry): string {
  return whole(expires + maxAge / 2);
}

/** By client, by hash, by user. */
export class Index {
  readonly #space: Space;

  constructor(space: Space) {
    this.#space = space;
  }

  /** Of a new session: all of them. */
  begin(sid: string, entry: Entry): Promise<unknown>[] {
    return this.#all(sid, entry, false);
  }

  /** Of a new session: its client's pointer; says where that pointed to. */
  async claim(sid: string, entry: Entry): Promise<string | undefined> {
    const [old] = await Promise.all(this.#point(sid, entry, false));
    return old == null || old === sid ? undefined : String(old);
  }

  /** Of a new session: all but that. */
  name(sid: string, entry: Entry): Promise<unknown>[] {
    return [this.#byHash(sid, entry), ...this.enrol(sid, entry)];
  }

  /** Among the sessions of its user. */
  enrol(sid: string, entry: Entry): Promise<unknown>[] {
    return entry.user === undefined ? [] : [
      this.#space.run(scripts.ENROL, [this.#space.named("u", entry.user)], [
        until(entry),
        sid,
      ]),
    ];
  }

  /** After a write: what has changed hands, and what would end too early. Seldom anything. */
  async follow(
    sid: string,
    entry: Entry,
    old: Binding,
    stale: boolean,
  ): Promise<void> {
    const bound = old.clientId !== entry.clientId;
    const given = old.user !== entry.user;
    if (!stale && !bound && !given) return;
    await Promise.all([
      ...(bound ? this.#leaveClient(sid, old) : []),
      ...(given ? this.#leaveUser(sid, old) : []),
      ...(bound ? this.#point(sid, entry, false) : []),
      ...(stale ? this.#all(sid, entry, true) : []),
    ]);
    if (!stale) return;
    const key = this.#space.key("s", sid);
    await this.#space.run(scripts.INDEXED, [key], [suffice(entry)]);
  }

  /** The session has ended: what is left is litter, no reason to fail. */
  async end(sid: string, old: Binding): Promise<void> {
    await Promise.allSettled([
      this.#space.run(scripts.UNPOINT, [this.#space.named("h", sid)], [sid]),
      ...this.#leaveClient(sid, old),
      ...this.#leaveUser(sid, old),
    ]);
  }

  /** @param timid not over a pointer to another session */
  #all(sid: string, entry: Entry, timid: boolean): Promise<unknown>[] {
    return [...this.name(sid, entry), ...this.#point(sid, entry, timid)];
  }

  #byHash(sid: string, entry: Entry): Promise<unknown> {
    const hash = this.#space.named("h", sid);
    return this.#space.run(scripts.POINT, [hash], [sid, until(entry), "0"]);
  }

  #point(sid: string, entry: Entry, timid: boolean): Promise<unknown>[] {
    return entry.clientId === undefined ? [] : [
      this.#space.run(scripts.POINT, [this.#space.named("c", entry.clientId)], [
        sid,
        until(entry),
        timid ? "1" : "0",
      ]),
    ];
  }

  #leaveClient(sid: string, { clientId }: Binding): Promise<unknown>[] {
    return clientId === undefined ? [] : [
      this.#space.run(scripts.UNPOINT, [this.#space.named("c", clientId)], [
        sid,
      ]),
    ];
  }

  #leaveUser(sid: string, { user }: Binding): Promise<unknown>[] {
    return user === undefined ? [] : [
      this.#space.run(scripts.STRIKE, [this.#space.named("u", user)], [sid]),
    ];
  }
}

function until({ expires, maxAge }: Entry): string {
  return whole(expires + maxAge + EXPIRED_GRACE);
}
