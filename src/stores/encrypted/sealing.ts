/**
 * Records and notes as an encrypted store keeps them.
 *
 * @module
 */
import { SessionStoreError } from "../../api/errors.ts";
import type { SessionRecord, StoredRecord } from "../../api/store_contract.ts";
import type { StoreKey } from "./keys.ts";
import { RecentValues } from "./recent_values.ts";

/** Encrypted data stays JSON of an object, as stores are given. */
const START = '{"sealed":"';
const END = '"}';

/** How many decrypted records are kept, and the longest of them. */
const MAX_OPENED = 1_000;
const MAX_TEXT = 8_192;

/** What is encrypted of a record. */
interface Sealed {
  readonly sealed: string;
  readonly sid: string;
  readonly clientId: string | undefined;
  readonly user: string | undefined;
  readonly meta: string | undefined;
  readonly data: string;
}

/** A record that was decrypted, with the id of its session. */
export interface OpenedRecord {
  readonly sid: string;
  readonly record: StoredRecord;
}

/** What an encrypted store keeps of a former id. */
export interface OpenedNote {
  readonly note: string;
  /** The id that the session was moved to. */
  readonly to: string | undefined;
  /** Whether the session was only moved to another key: it has the same id. */
  readonly rekeyed: boolean;
}

/** Encrypts by the first key, and decrypts by any. */
export class Sealing {
  readonly keys: readonly StoreKey[];
  readonly #first: StoreKey;
  readonly #failed: (error: Error) => void;
  readonly #recent = new RecentValues<Sealed>(MAX_OPENED);

  /** @param failed receives an error for each value that does not decrypt */
  constructor(keys: readonly StoreKey[], failed: (error: Error) => void) {
    this.keys = keys;
    this.#first = keys[0]!;
    this.#failed = failed;
  }

  /** The id under which a session is stored by a key. */
  idOf(sid: string, key: StoreKey = this.#first): string {
    return key.idOf(sid);
  }

  /** The same, by the hash of the id. */
  idOfHash(hash: string, key: StoreKey): string {
    return key.hash("session", hash);
  }

  /** The record to store for a session, under its id by the first key. */
  seal(sid: string, record: SessionRecord): SessionRecord {
    const { clientId, user, meta, data } = record;
    const key = this.#first;
    const id = this.idOf(sid);
    // JSON has no line break outside of texts, and none in them
    const head = JSON.stringify([sid, clientId, user, meta]);
    const sealed = START + key.seal(`${head}\n${data}`, id) + END;
    this.#keep(id, { sealed, sid, clientId, user, meta, data });
    return {
      data: sealed,
      maxAge: record.maxAge,
      expires: record.expires,
      absoluteEnd: record.absoluteEnd,
      cookie: record.cookie,
      clientId: clientId === undefined
        ? undefined
        : key.hash("client", clientId),
      settled: record.settled,
      user: user === undefined ? undefined : key.hash("user", user),
      created: record.created,
      authenticatedAt: record.authenticatedAt,
      lastUsed: record.lastUsed,
      arrived: record.arrived,
      meta: undefined,
      handle: record.handle,
    };
  }

  /**
   * Decrypts what is stored under an id.
   *
   * @returns `undefined` for what does not decrypt, which is reported
   */
  open<R extends SessionRecord>(
    id: string,
    stored: R | undefined,
  ): { readonly sid: string; readonly record: R } | undefined {
    const opened = stored && this.#opened(id, stored.data);
    if (!opened) return undefined;
    const { sid, clientId, user, meta, data } = opened;
    return { sid, record: { ...stored, data, clientId, user, meta } };
  }

  /** The same text as at the last time needs no decryption. */
  #opened(id: string, sealed: string): Sealed | undefined {
    const recent = this.#recent.peek(id);
    if (recent?.sealed === sealed) return recent;
    const text = this.#decrypt(sealed.slice(START.length, -END.length), id);
    if (text === undefined) return undefined;
    const line = text.indexOf("\n");
    const head = JSON.parse(text.slice(0, line)) as (string | null)[];
    const [sid, clientId, user, meta] = head.map((part) => part ?? undefined);
    const data = text.slice(line + 1);
    return this.#keep(id, { sealed, sid: sid!, clientId, user, meta, data });
  }

  #keep(id: string, opened: Sealed): Sealed {
    if (opened.sealed.length <= MAX_TEXT) this.#recent.set(id, opened);
    return opened;
  }

  /** The note to keep of an id, under which a session was stored. */
  sealNote(id: string, note: string, to?: string): string {
    return this.#first.seal(JSON.stringify([note, to]), id);
  }

  /** The note for a session that is moved to the first key. */
  rekeyNote(id: string): string {
    return this.#first.seal(JSON.stringify([]), id);
  }

  /** Decrypts a note. */
  openNote(id: string, sealed: string): OpenedNote | undefined {
    const text = this.#decrypt(sealed, id);
    if (text === undefined) return undefined;
    const [note, to] = JSON.parse(text);
    return {
      note: note ?? "",
      to: to ?? undefined,
      rekeyed: note === undefined,
    };
  }

  #decrypt(sealed: string, place: string): string | undefined {
    const key = this.keys.find((key) => key.sealed(sealed));
    try {
      if (key) return key.open(sealed, place);
    } catch {
      // its message says nothing but that it failed
    }
    this.#failed(
      new SessionStoreError(
        "Cannot decrypt a session in the store as " +
          (key
            ? "it was changed, or copied from another"
            : "none of the keys has encrypted it: keep a former key for as long as sessions live"),
      ),
    );
    return undefined;
  }
}
