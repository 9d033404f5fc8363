/**
 * koa-session's `valid`: whether a stored session may be used with a request,
 * or a handshake. It is asked before anything is bound to the session.
 *
 * @module
 */
import { toNative } from "./native.ts";
import type { SessionRecord } from "./store.ts";

/** See the module's text. */
export class Validity {
  readonly #valid: (ctx: never, session: never) => unknown;
  readonly #verdicts = new WeakMap<object, boolean>();

  /** @param valid the option of this name */
  constructor(valid: (ctx: never, session: never) => unknown) {
    this.#valid = valid;
  }

  /** @throws what the option throws */
  ask(ctx: object, record: SessionRecord): boolean {
    const valid = this.#ask(ctx, toNative(record));
    this.#verdicts.set(ctx, valid);
    return valid;
  }

  /** What koa-session is given, which asks about the session that was asked about before. */
  readonly again = (ctx: object, session: unknown): boolean =>
    this.#verdicts.get(ctx) ?? this.#ask(ctx, session);

  #ask(ctx: object, session: unknown): boolean {
    return Boolean(this.#valid(ctx as never, session as never));
  }
}
