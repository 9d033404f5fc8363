/**
 * The request that a client makes to renew its cookies, as a WebSocket can set none.
 *
 * @module
 */

/** What the middleware of `bridge.refresh()` uses of a Koa context. */
export interface RefreshContext {
  /** The status of the answer. */
  status: number;
  /** Sets a header of the answer. */
  set(field: string, value: string): unknown;
}

/** The same, with what the bridge knows of it. */
interface Bridged extends RefreshContext {
  readonly sessionId: string | undefined;
  readonly session: { save(): Promise<void> } | null;
}

/** @param roll sends the client cookie again */
export async function refresh(
  ctx: RefreshContext,
  roll: (ctx: object) => void,
): Promise<void> {
  const bridged = ctx as Bridged;
  ctx.set("Cache-Control", "no-store");
  roll(ctx);
  if (bridged.sessionId !== undefined) await bridged.session?.save();
  // it may have ended while it was being saved
  ctx.status = bridged.sessionId === undefined ? 401 : 204;
}
