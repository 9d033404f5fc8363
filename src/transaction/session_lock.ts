/**
 * A session that is held by one caller, and what comes of letting it go.
 *
 * @module
 */
import type {
  Awaitable,
  SessionRecord,
  StoredRecord,
  Version,
} from "../api/store.ts";

/** What came of letting a session go. */
export type CloseResult =
  /** Written, or there was nothing to write. */
  | { readonly status: "done"; readonly version: Version }
  /** It ended meanwhile. */
  | { readonly status: "ended"; readonly why?: string | undefined }
  /** The hold was overdue and the session was given to another. */
  | { readonly status: "lost" }
  /** Somebody wrote past the door; what is stored now is the record. The session is still held. */
  | { readonly status: "changed"; readonly record: StoredRecord };

/** A session that is open for one caller. */
export interface HeldSession {
  readonly sid: string;
  readonly record: StoredRecord;
  /** Writes the record, if one is given, and lets go. */
  close(record?: SessionRecord, expected?: Version): Awaitable<CloseResult>;
  /** Lets go and asks nothing. Of no effect on a session that was let go. */
  release(): void;
  /** Says that the session ended, where that is known without asking. */
  revoked(): { readonly why: string | undefined } | undefined;
}

/** What came of asking for a session. */
export type OpenResult = HeldSession | {
  readonly missing: true;
  readonly waited: boolean;
};
