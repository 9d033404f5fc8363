/**
 * What a write needs to know of the HTTP request that makes it.
 *
 * @module
 */

import type { StoredRecord } from "../api/store.ts";

/** The request behind a write. */
export interface RequestOrigin {
  /** When it arrived, ms since the epoch, with fractions: no two of one process are equal. */
  readonly arrived: number;
  /** The id that its session cookie named, alive or not. */
  readonly receivedSid: string | undefined;
  /** The client id that it came with, or was given. */
  readonly clientId: string;
  /** Whether the response can still carry a new id: its headers are not written. */
  readonly canSendIds: boolean;
  /** A fresh session id, by the option `genid`. */
  newSid(): string;
  /** JSON text of the option `meta`'s result; `undefined` without the option. */
  meta(): string | undefined;
  /**
   * Records that this request gives the session `from` its new id.
   *
   * @param done whether it has; it does not reject
   */
  noteMove(from: string, to: string, done: Promise<boolean>): void;
  /**
   * The id under which the request goes on with a session that it has itself
   * given a new one, once its own writes are complete; `undefined` for others.
   */
  successorOf(sid: string): Promise<string | undefined>;
  /** What it applied to a transaction, now stored, is the base of its next patch. */
  noteJoined(record: StoredRecord): void;
  /** Calls back at the end of the request's middleware; at once after it. */
  atEnd(callback: () => void): void;
  /** Calls back once the response has its headers, or can have none any more. */
  afterHeaders(callback: () => void): void;
}
