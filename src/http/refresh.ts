/**
 * The middleware of `bridge.refresh()`.
 *
 * @module
 */
import type { RefreshContext } from "../api/koa.ts";

/** A refreshed context, with the members that the bridge adds. */
interface Bridged extends RefreshContext {
  get(field: string): string;
  body: unknown;
  type: string;
  readonly sessionId: string | undefined;
  readonly session: { save(): Promise<void> } | null;
}

/** What `./client` accepts: browsers print each 401 on their console as an error of the page. */
const ANSWER = "application/vnd.koa-io-session+json";

/**
 * Answers a refresh: 204 with a session, which is saved, else 401; to
 * `./client` in JSON.
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
  const session = bridged.sessionId !== undefined;
  if (!bridged.get("accept").includes(ANSWER)) {
    ctx.status = session ? 204 : 401;
    return;
  }
  bridged.body = JSON.stringify({ session });
  bridged.type = ANSWER;
}
