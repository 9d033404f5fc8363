/** Jars with chosen cookies of other jars. */
import type { Answer } from "../browser.ts";
import { CLIENT_KEY, CookieJar, KEY } from "../cookies.ts";

/** A jar with the session cookie of one jar and the client cookie of another, each where it is given. */
export function pair(session?: CookieJar, client?: CookieJar): CookieJar {
  const jar = new CookieJar();
  copy(session, jar, KEY);
  copy(client, jar, CLIENT_KEY);
  return jar;
}

/** A jar with the cookies of answers, of each name the last one. */
export function jarOf(...answers: readonly Answer[]): CookieJar {
  const jar = new CookieJar();
  for (const answer of answers) jar.apply(answer.setCookies);
  return jar;
}

function copy(from: CookieJar | undefined, to: CookieJar, name: string): void {
  for (const cookie of [name, `${name}.sig`]) {
    const value = from?.get(cookie);
    if (value !== undefined) to.set(cookie, value);
  }
}
