/**
 * What a session holds, as a validator of the user's says it: by the Standard
 * Schema interface, version 1, described by structure.
 *
 * @module
 */
import { SessionInvalidError, type SessionIssue } from "./errors.ts";
import { isThenable } from "./in_time.ts";
import type { Awaitable, StoredRecord } from "./store.ts";

/** What a validator comes to. */
export type SchemaResult<S> =
  | { readonly value: S; readonly issues?: undefined }
  | {
    readonly issues: readonly {
      readonly message: string;
      readonly path?:
        | readonly (PropertyKey | { readonly key: PropertyKey })[]
        | undefined;
    }[];
  };

/**
 * Any [Standard Schema](https://standardschema.dev) validator: a schema of
 * zod, valibot, arktype and others, synchronous or not.
 *
 * @typeParam S what it makes of the data: what sessions hold
 *
 * @example One made by hand
 * ```ts
 * import Koa from "koa";
 * import { Server } from "socket.io";
 * import { bridgeSession, type SessionSchema } from "@koa-io/session";
 * import { assertEquals } from "@std/assert";
 *
 * const schema: SessionSchema<{ count: number }> = {
 *   "~standard": {
 *     version: 1,
 *     vendor: "example",
 *     validate(data) {
 *       const { count = 0 } = data as { count?: unknown };
 *       return typeof count === "number"
 *         ? { value: { count } }
 *         : { issues: [{ message: "must be a number", path: ["count"] }] };
 *     },
 *   },
 * };
 * await using bridge = bridgeSession(new Koa(), new Server(), {
 *   appKeys: ["secret"],
 *   key: "sid",
 *   schema,
 * });
 * const session = await bridge.peek("an-id"); // { count: number } | undefined
 * assertEquals(session?.count, undefined);
 * ```
 */
export interface SessionSchema<S = unknown> {
  /** The interface itself. */
  readonly "~standard": {
    /** The version of the interface. */
    readonly version: 1;
    /** Who made the validator. */
    readonly vendor: string;
    /** Takes data and returns what it makes of it, or what is wrong. */
    readonly validate: (
      value: unknown,
    ) => SchemaResult<S> | Promise<SchemaResult<S>>;
    /** For the compiler only. */
    readonly types?:
      | { readonly input: unknown; readonly output: S }
      | undefined;
  };
}

/** Whether a value is a validator; some of them are functions. */
export function isSchema(value: unknown): value is SessionSchema {
  const isHolder = typeof value === "object" && value !== null ||
    typeof value === "function";
  if (!isHolder) return false;
  const props = (value as Partial<SessionSchema>)["~standard"];
  return props?.version === 1 && typeof props.validate === "function";
}

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
