/**
 * What `bridge.doctor()` reports about the users of sessions, recorded while
 * the bridge runs.
 *
 * @module
 */
import { TtlMap } from "../base/ttl_map.ts";

/** Changes of one client's user within {@linkcode WINDOW} that count as too many. */
const MANY = 3;
const WINDOW = 60_000;
/** The first sessions are all examined, later ones by samples. */
const EXAMINED = 100;
const SAMPLE = 32;
/** The key that koa-passport keeps in the data of a session. */
const PASSPORT = '"passport":{';

/** Records facts about users: of each call, at most a few microseconds. */
export class UserFacts {
  readonly #hasUser: boolean;
  readonly #changes = new TtlMap<readonly number[]>(
    (times) => times[times.length - 1]! + WINDOW,
  );
  #seen = 0;
  #passport = false;
  #restless = false;

  /** @param hasUser whether the option `user` is set */
  constructor(hasUser: boolean) {
    this.#hasUser = hasUser;
  }

  /** Whether a session holds a user of passport, and the option `user` is not set. */
  get passport(): boolean {
    return this.#passport;
  }

  /** Whether the user of a session changed three times within a minute. */
  get restless(): boolean {
    return this.#restless;
  }

  /** @param data the JSON text of a session that was loaded or written */
  sessionSeen(data: string): void {
    if (this.#hasUser || this.#passport) return;
    const nth = this.#seen++;
    if (nth >= EXAMINED && nth % SAMPLE !== 0) return;
    this.#passport = data.includes(PASSPORT) && hasPassportUser(data);
  }

  /** @param key what stays when the user of a session changes, such as its client's id */
  userChanged(key: string): void {
    if (this.#restless) return;
    const now = Date.now();
    const recent = (this.#changes.get(key) ?? [])
      .filter((time) => now - time < WINDOW);
    this.#changes.delete(key);
    this.#changes.set(key, [...recent, now]);
    this.#restless = recent.length + 1 >= MANY;
  }
}

function hasPassportUser(data: string): boolean {
  try {
    const user = JSON.parse(data)?.passport?.user;
    return user !== undefined && user !== null;
  } catch {
    return false;
  }
}
