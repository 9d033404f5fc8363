/**
 * The option `meta`: what is kept beside a session for a page of active
 * devices.
 *
 * @module
 */
import { describeResult } from "../base/arguments.ts";
import { isThenable } from "../base/async.ts";

/** Limit of the JSON text, in bytes. */
const MAX_BYTES = 1_000;

/**
 * The JSON text of the option's result for a request. What is no object, no
 * JSON, or too large is left out.
 *
 * @param failed receives the reason
 */
export function metaOf(
  option: ((ctx: never) => unknown) | undefined,
  ctx: object,
  failed: (error: unknown) => void,
): string | undefined {
  if (!option) return undefined;
  try {
    return textOf(option(ctx as never));
  } catch (error) {
    failed(error);
    return undefined;
  }
}

function textOf(meta: unknown): string {
  if (
    typeof meta !== "object" || meta === null || Array.isArray(meta) ||
    isThenable(meta)
  ) throw refusal(describeResult(meta));
  const text = JSON.stringify(meta) as string | undefined;
  if (text?.[0] !== "{") throw refusal("an object whose toJSON returns none");
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_BYTES) throw refusal(`${bytes} bytes`);
  return text;
}

function refusal(received: string): Error {
  return new TypeError(
    `Cannot keep the meta of the session as the option meta must return an object of at most ${MAX_BYTES} bytes of JSON: received ${received}`,
  );
}
