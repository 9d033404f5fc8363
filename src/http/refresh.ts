/**
 * The middleware of `bridge.refresh()`.
 *
 * @module
 */
import type { RefreshContext } from "../api/koa.ts";

/** A refreshed context, with the members that the bridge adds. */
interface Bridged extends RefreshContext {
  readonly sessionId: string | undefined;
  readonly session: { save(): Promise<void> } | null;
}

/**
 * Answers a refresh: 204 with a session, which is saved, else 401.
 *
 * @param roll sends the client cookie
 */
export async function refresh(
  ctx: RefreshContext,
  roll: (ctx: object) => void,
): Promise<void> {
  const bridged = ctx as Bridged;
  ctx.set("Cache-Control", "no-store");
  roll(ctx);
  if (bridged.sessionId !== undefined) await bridged.session?.save();
  // it may have ended during the save
  ctx.status = bridged.sessionId === undefined ? 401 : 204;
}
