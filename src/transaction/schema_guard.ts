/**
 * The option `schema`: a validator of the Standard Schema interface, version 1
 * (https://standardschema.dev), applied to session data.
 *
 * @module
 */
import { SessionInvalidError, type SessionIssue } from "../api/errors.ts";
import { isThenable } from "../base/async.ts";
import type { Awaitable, StoredRecord } from "../api/store.ts";
import { assertNames } from "./reserved_names.ts";
import type { SchemaResult, SessionSchema } from "../api/schema.ts";

/** Validates session data when it is loaded and when it is written. */
export class SchemaGuard {
  readonly #schema: SessionSchema;
  readonly #onInvalid: "end" | "throw";
  readonly #end: (sid: string, record: StoredRecord) => Promise<unknown>;

  /** @param end ends a session whose stored data is refused */
  constructor(
    schema: SessionSchema,
    onInvalid: "end" | "throw",
    end: (sid: string, record: StoredRecord) => Promise<unknown>,
  ) {
    this.#schema = schema;
    this.#onInvalid = onInvalid;
    this.#end = end;
  }

  /**
   * Checks data that is to be written.
   *
   * @returns the validator's output, which is written in its place
   * @throws {SessionInvalidError} when it is refused
   */
  async writable(data: string): Promise<string> {
    return await this.#check(data, "write");
  }

  /**
   * Checks a record that was read.
   *
   * @returns the record with the validator's output, or `undefined` when the session was ended
   * @throws {SessionInvalidError} when it is refused and `onInvalid` is "throw"
   */
  loaded(
    sid: string,
    record: StoredRecord,
  ): Awaitable<StoredRecord | undefined> {
    try {
      const data = this.#check(record.data, "load");
      return data instanceof Promise
        ? data.then(
          (data) => ({ ...record, data }),
          (error) => this.#refused(sid, record, error),
        )
        : { ...record, data };
    } catch (error) {
      return this.#refused(sid, record, error);
    }
  }

  async #refused(
    sid: string,
    record: StoredRecord,
    error: unknown,
  ): Promise<undefined> {
    if (
      this.#onInvalid === "throw" || !(error instanceof SessionInvalidError)
    ) throw error;
    await this.#end(sid, record);
  }

  #check(data: string, what: "write" | "load"): Awaitable<string> {
    const result = this.#schema["~standard"].validate(JSON.parse(data));
    return isThenable(result)
      ? Promise.resolve(result).then((result) => textOf(result, what))
      : textOf(result, what);
  }
}

function textOf(
  result: SchemaResult<unknown>,
  what: "write" | "load",
): string {
  if (result.issues) {
    throw new SessionInvalidError(result.issues.map(issueOf), what);
  }
  const text = JSON.stringify(result.value) as string | undefined;
  if (text?.[0] === "{") {
    assertNames(JSON.parse(text));
    return text;
  }
  throw new TypeError(
    `Cannot ${what} the session as the option schema must make an object of it: received ${
      Array.isArray(result.value) ? "an array" : typeof result.value
    }`,
  );
}

function issueOf(
  { message, path = [] }: {
    readonly message: string;
    readonly path?:
      | readonly (PropertyKey | { readonly key: PropertyKey })[]
      | undefined;
  },
): SessionIssue {
  // a path may be an array-like object of the validator
  const keys = Array.from(
    path,
    (step) => typeof step === "object" ? step.key : step,
  );
  return { message, path: keys };
}
