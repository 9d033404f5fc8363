/**
 * Warnings about changes that come after what stores them, which are lost
 * without an error. One session is looked at again at a time, so that the cost
 * does not grow with the number of calls.
 *
 * @module
 */
import { WarnedOnce } from "../base/warned_once.ts";
import { diff } from "./patch.ts";

/** How much later a session is looked at again, in ms. */
const DELAY = 100;

const warned = new WarnedOnce();

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

/** Compares sessions with what they were when nothing was to be stored of them any more. */
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
    for (const key of diff(JSON.parse(text), JSON.parse(now)).keys()) {
      warned.warn(
        `under the key ${JSON.stringify(key)} after ${this.#when}`,
        (what) =>
          `A session was changed ${what}: the change is not stored. ${this.#cure}`,
      );
    }
  }
}

/** The JSON text of an object; `undefined` where its `toJSON` makes something else of it, or JSON cannot hold it. */
function textOf(session: object): string | undefined {
  try {
    const text: string | undefined = JSON.stringify(session);
    return text?.[0] === "{" ? text : undefined;
  } catch {
    return undefined;
  }
}
