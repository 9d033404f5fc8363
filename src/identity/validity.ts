/**
 * The option `valid`, asked once for each request and handshake.
 *
 * @module
 */
import type { SessionRecord } from "../api/store.ts";
import { toKoaSession } from "../stores/koa_session_object.ts";

/** Decides whether a session may be used with a Koa context. */
export class SessionValidity {
  readonly #valid: (ctx: never, session: never) => unknown;
  readonly #verdicts = new WeakMap<object, boolean>();

  /** @param valid the option of this name */
  constructor(valid: (ctx: never, session: never) => unknown) {
    this.#valid = valid;
  }

  /** @throws what the option throws */
  check(ctx: object, record: SessionRecord): boolean {
    const valid = this.#call(ctx, toKoaSession(record));
    this.#verdicts.set(ctx, valid);
    return valid;
  }

  /** For koa-session, which asks about the same session once more. */
  readonly checkOnce = (ctx: object, session: unknown): boolean =>
    this.#verdicts.get(ctx) ?? this.#call(ctx, session);

  #call(ctx: object, session: unknown): boolean {
    return Boolean(this.#valid(ctx as never, session as never));
  }
}
