/**
 * What a session holds, as a validator of the user's says it: by the Standard
 * Schema interface, version 1, described by structure.
 *
 * @module
 */
import { SessionInvalidError, type SessionIssue } from "../api/errors.ts";
import { isThenable } from "../base/async.ts";
import type { Awaitable, StoredRecord } from "../api/store.ts";
import type { SchemaResult, SessionSchema } from "../api/schema.ts";

/** Holds the data of sessions against the schema. */
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
   * @returns what is to be written in its place: what the validator made of it
   * @throws {SessionInvalidError} when it is refused
   */
  async writable(data: string): Promise<string> {
    return await this.#check(data, "write");
  }

  /**
   * Checks a record that was read.
   *
   * @returns the record with what the validator made of its data, or `undefined` when it was ended
   * @throws {SessionInvalidError} when it is refused and not to be ended
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
  if (text?.[0] === "{") return text;
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
  // a path may be an array of the validator's own kind
  const keys = Array.from(
    path,
    (step) => typeof step === "object" ? step.key : step,
  );
  return { message, path: keys };
}
