/**
 * The cookies that were genuine a moment ago: a page asks for many things, each
 * with the same cookies, and to verify one costs more than all else that the
 * bridge does with a request.
 *
 * @module
 */

/** What is remembered of a cookie. */
export interface VerifiedCookie {
  readonly id: string;
  /** Made with the key in use. */
  readonly signature: string;
}

/** How many there is room for; a power of 2. */
const SLOTS = 1_024;

/** See the module's text. */
export class SignatureCache {
  /** Each has its place by its signature, which nobody can choose. */
  readonly #places: (VerifiedCookie | undefined)[] = new Array(SLOTS);
  /** Who was last seen at each place. */
  readonly #marks = new Int32Array(SLOTS);

  /** What is remembered of the cookie with this value and, as far as it tells, this signature. */
  get(value: string, signature: string): VerifiedCookie | undefined {
    const held = this.#places[hash(signature, 0) % SLOTS];
    return held?.id === value ? held : undefined;
  }

  /**
   * A cookie was genuine. It is remembered the second time in a row at its
   * place: most of many do not come back soon, and what is kept for nothing
   * costs the garbage collector more than it saves.
   */
  add(cookie: VerifiedCookie): void {
    const place = hash(cookie.signature, 0) % SLOTS;
    const mark = hash(cookie.signature, 4) | 0;
    if (this.#marks[place] === mark) this.#places[place] = cookie;
    else this.#marks[place] = mark;
  }
}

/** Of four characters, each with 6 random bits or fewer. */
function hash(text: string, from: number): number {
  let mixed = 0;
  for (let i = from; i < from + 4; i++) {
    mixed = (mixed * 67 + text.charCodeAt(i)) >>> 0;
  }
  return mixed;
}
