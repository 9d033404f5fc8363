/**
 * A bounded cache of verified cookie signatures. A page sends many requests
 * with the same cookies, and the HMAC is the largest cost of the bridge in a
 * request.
 *
 * @module
 */

/** A cookie with a verified signature. */
export interface VerifiedCookie {
  readonly id: string;
  /** Made with the key in use. */
  readonly signature: string;
}

/** Number of slots; a power of 2. */
const SLOTS = 1_024;

/** A direct-mapped cache, by signature. */
export class SignatureCache {
  /** The slot follows from the signature, which a client cannot choose. */
  readonly #slots: (VerifiedCookie | undefined)[] = new Array(SLOTS);
  /** A tag of the signature that was added last, by slot. */
  readonly #tags = new Int32Array(SLOTS);

  /** The cached cookie with this value; the caller compares the signature. */
  get(value: string, signature: string): VerifiedCookie | undefined {
    const cached = this.#slots[hash(signature, 0) % SLOTS];
    return cached?.id === value ? cached : undefined;
  }

  /**
   * Adds a verified cookie. It is kept when it is the second in a row for its
   * slot: with many clients most cookies do not recur soon, and keeping them
   * costs more in garbage collection than it saves.
   */
  add(cookie: VerifiedCookie): void {
    const slot = hash(cookie.signature, 0) % SLOTS;
    const tag = hash(cookie.signature, 4) | 0;
    if (this.#tags[slot] === tag) this.#slots[slot] = cookie;
    else this.#tags[slot] = tag;
  }
}

/** A hash of four characters with at most 6 random bits each. */
function hash(text: string, from: number): number {
  let mixed = 0;
  for (let i = from; i < from + 4; i++) {
    mixed = (mixed * 67 + text.charCodeAt(i)) >>> 0;
  }
  return mixed;
}
