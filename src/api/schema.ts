/**
 * The interface of validators for session data: Standard Schema, version 1,
 * described by structure.
 *
 * @module
 */

/** The result of a validation. */
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
 * @typeParam S the validated data: what sessions hold
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
    /** The library that the validator is made with. */
    readonly vendor: string;
    /** Returns the validated data, or the issues. */
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
