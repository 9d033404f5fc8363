/**
 * The keys of an encrypted store: what each of them derives, and how they are
 * read from the options.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomFillSync,
} from "node:crypto";
import { hashId } from "../../base/ids.ts";
import { RecentValues } from "./recent_values.ts";

/** The length of a key, in bytes. */
export const KEY_BYTES = 32;

const CIPHER = "aes-256-gcm";
const IV_BYTES = 12;
const TAG_BYTES = 16;
/** The length of a key's name, in characters of base64url. */
const NAME_LENGTH = 8;

/** How many hashes of one key are kept: the ids and clients in use. */
const MAX_HASHES = 4_096;

/** What a keyed hash is of: equal texts of two kinds have different hashes. */
export type HashKind = "session" | "client" | "user" | "lock";

/** One key: keyed hashes, and authenticated encryption. */
export class StoreKey {
  /** Identifies the key in what it has encrypted; derived from it, and no secret. */
  readonly name: string;
  readonly #hashing: KeyObject;
  readonly #encryption: KeyObject;
  readonly #hashes = new RecentValues<string>(MAX_HASHES);
  readonly #ids = new RecentValues<string>(MAX_HASHES);

  constructor(secret: Uint8Array) {
    this.#hashing = derived(secret, "hash");
    this.#encryption = derived(secret, "encrypt");
    this.name = this.hash("lock", "").slice(0, NAME_LENGTH);
  }

  /** The keyed hash of a text: HMAC-SHA-256 in base64url. */
  hash(kind: HashKind, text: string): string {
    return this.#hashes.get(
      `${kind}:${text}`,
      (input) =>
        createHmac("sha256", this.#hashing).update(input).digest("base64url"),
    );
  }

  /** The id under which a session is stored: the keyed hash of the hash of its id. */
  idOf(sid: string): string {
    return this.#ids.get(sid, () => this.hash("session", hashId(sid)));
  }

  /**
   * Encrypts a text by AES-256-GCM.
   *
   * @param place authenticated with it: what is copied to another place does not decrypt
   */
  seal(text: string, place: string): string {
    const iv = nextIv();
    const cipher = createCipheriv(CIPHER, this.#encryption, iv);
    cipher.setAAD(Buffer.from(place, "utf8"));
    const encrypted = cipher.update(text, "utf8");
    // GCM has no padding: the end is empty
    cipher.final();
    return this.name +
      Buffer.concat([iv, encrypted, cipher.getAuthTag()])
        .toString("base64url");
  }

  /** Whether this key has encrypted the text. */
  sealed(text: string): boolean {
    return text.startsWith(this.name);
  }

  /**
   * Decrypts what {@linkcode StoreKey.seal} returned.
   *
   * @throws {Error} when it was changed, cut, or copied from another place
   */
  open(sealed: string, place: string): string {
    const bytes = Buffer.from(sealed.slice(NAME_LENGTH), "base64url");
    const end = bytes.length - TAG_BYTES;
    if (end < IV_BYTES) throw new Error("too short");
    const iv = bytes.subarray(0, IV_BYTES);
    const options = { authTagLength: TAG_BYTES };
    const decipher = createDecipheriv(CIPHER, this.#encryption, iv, options);
    decipher.setAAD(Buffer.from(place, "utf8"));
    decipher.setAuthTag(bytes.subarray(end));
    return decipher.update(bytes.subarray(IV_BYTES, end), undefined, "utf8") +
      decipher.final("utf8");
  }
}

const random = Buffer.alloc(IV_BYTES * 256);
let used = random.length;

/** Random bytes that are used once, drawn for many at a time: drawing costs as much as encrypting. */
function nextIv(): Buffer {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  return random.subarray(used, used += IV_BYTES);
}

function derived(secret: Uint8Array, purpose: string): KeyObject {
  const info = `koa-io-session ${purpose}`;
  return createSecretKey(
    Buffer.from(hkdfSync("sha256", secret, "", info, KEY_BYTES)),
  );
}

/**
 * Reads the keys of the options.
 *
 * @param given the option as given
 * @throws {TypeError} when it is no array of different keys of 32 bytes
 */
export function readKeys(given: unknown): readonly StoreKey[] {
  if (!Array.isArray(given) || given.length === 0) {
    refuse("keys", "an array of one key or more", describe(given));
  }
  const keys = given.map((key, i) => new StoreKey(bytesOf(key, i)));
  const names = new Set(keys.map(({ name }) => name));
  if (names.size < keys.length) {
    refuse("keys", "keys that differ", "the same key more than once");
  }
  return keys;
}

function bytesOf(key: unknown, i: number): Uint8Array {
  const wanted = `${KEY_BYTES} bytes, as a Uint8Array or in base64url`;
  const name = `keys[${i}]`;
  if (typeof key !== "string" && !(key instanceof Uint8Array)) {
    refuse(name, wanted, describe(key));
  }
  if (typeof key === "string" && !/^[\w-]*={0,2}$/.test(key)) {
    refuse(name, wanted, "a text with other characters");
  }
  const bytes = typeof key === "string" ? Buffer.from(key, "base64url") : key;
  if (bytes.length !== KEY_BYTES) {
    refuse(name, wanted, `${bytes.length} bytes`);
  }
  if (bytes.every((byte) => byte === bytes[0])) {
    refuse(name, "random bytes", `${KEY_BYTES} equal ones`);
  }
  return bytes;
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an empty array";
  return typeof value === "object" ? "an object" : typeof value;
}

/** Names the option, and never the value: it may be a secret. */
function refuse(name: string, wanted: string, received: string): never {
  throw new TypeError(
    `Cannot encrypt the store as ${name} must be ${wanted}: received ${received}. ` +
      `A new key: node -p 'crypto.randomBytes(${KEY_BYTES}).toString("base64url")'`,
  );
}
