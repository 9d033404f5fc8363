/**
 * Warnings about changes that come after what stores them: nobody is told
 * otherwise that they are lost. One session is looked at again at a time, so
 * that the cost does not grow with the number of calls.
 *
 * @module
 */

/** How much later a session is looked at again, in ms. */
const DELAY = 100;

/** How many warnings a process prints at most. */
const MAX_WARNINGS = 100;

const warned = new Set<string>();

/** Sessions that the bridge itself has changed. */
const excused = new WeakSet<object>();

/** Takes a session out of the search: the bridge shows in it what a transaction has stored, at any time. */
export function excuse(session: object): void {
  excused.add(session);
}

interface Sample {
  readonly session: object;
  readonly text: string;
  readonly taken: number;
}

/** Looks again at sessions that their owner has let go of. */
export class LateChanges {
  readonly #when: string;
  readonly #cure: string;
  #sample: Sample | undefined;

  /**
   * @param when what was over at the change, as in "its request had ended"
   * @param cure what to do instead, as a sentence
   */
  constructor(when: string, cure: string) {
    this.#when = when;
    this.#cure = cure;
  }

  /** Takes note of a session that no change is stored of any more; most are not looked at. */
  offer(session: object): void {
    const now = Date.now();
    if (this.#sample) {
      if (now - this.#sample.taken < DELAY) return;
      this.check();
    }
    const text = textOf(session);
    if (text !== undefined) this.#sample = { session, text, taken: now };
  }

  /** Looks at the session that was noted, and warns once for each key that has changed. */
  check(): void {
    const sample = this.#sample;
    this.#sample = undefined;
    if (!sample || excused.has(sample.session)) return;
    const { session, text } = sample;
    const now = textOf(session);
    if (now === undefined || now === text) return;
    for (const key of changedKeys(text, now)) this.#warn(key);
  }

  #warn(key: string): void {
    const what = `under the key ${JSON.stringify(key)} after ${this.#when}`;
    if (warned.has(what) || warned.size >= MAX_WARNINGS) return;
    warned.add(what);
    console.warn(
      `[koa-io-session] A session was changed ${what}: the change is not stored. ${this.#cure}`,
    );
  }
}

function textOf(session: object): string | undefined {
  try {
    return JSON.stringify(session);
  } catch {
    return undefined;
  }
}

function changedKeys(before: string, after: string): string[] {
  const [old, now] = [JSON.parse(before), JSON.parse(after)];
  return Object.keys({ ...old, ...now })
    .filter((key) => JSON.stringify(old[key]) !== JSON.stringify(now[key]));
}
