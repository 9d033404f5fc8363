/**
 * Records and notes as an encrypted store keeps them.
 *
 * @module
 */
import { SessionStoreError } from "../../api/errors.ts";
import type { SessionRecord, StoredRecord } from "../../api/store_contract.ts";
import { hashId } from "../../base/ids.ts";
import type { StoreKey } from "./keys.ts";

/** Encrypted data stays JSON of an object, as stores are given. */
const START = '{"sealed":"';
const END = '"}';

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

  /** @param failed receives an error for each value that does not decrypt */
  constructor(keys: readonly StoreKey[], failed: (error: Error) => void) {
    this.keys = keys;
    this.#first = keys[0]!;
    this.#failed = failed;
  }

  /** The id under which a session is stored by a key. */
  idOf(sid: string, key: StoreKey = this.#first): string {
    return this.idOfHash(hashId(sid), key);
  }

  /** The same, by the hash of the id. */
  idOfHash(hash: string, key: StoreKey): string {
    return key.hash("session", hash);
  }

  /** The record to store for a session, under its id by the first key. */
  seal(sid: string, record: SessionRecord): SessionRecord {
    const { clientId, user, meta, data } = record;
    const key = this.#first;
    // JSON has no line break outside of texts, and none in them
    const head = JSON.stringify([sid, clientId, user, meta]);
    return {
      data: START + key.seal(`${head}\n${data}`, this.idOf(sid)) + END,
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
    if (!stored) return undefined;
    const text = this.#decrypt(
      stored.data.slice(START.length, -END.length),
      id,
    );
    if (text === undefined) return undefined;
    const line = text.indexOf("\n");
    const [sid, clientId, user, meta] = JSON.parse(text.slice(0, line));
    return {
      sid,
      record: {
        ...stored,
        data: text.slice(line + 1),
        clientId: clientId ?? undefined,
        user: user ?? undefined,
        meta: meta ?? undefined,
      },
    };
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
