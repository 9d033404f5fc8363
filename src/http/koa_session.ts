/**
 * koa-session's middleware, on top of the bridge's store.
 *
 * @module
 */
import type { KoaApplication } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import type { SessionData } from "../api/store.ts";
import type { SessionValidity } from "../identity/validity.ts";
import { installKoaSession } from "./installation.ts";
import type { KoaSessionStore } from "./koa_session_store.ts";
import { type Context, STATE } from "./request_state.ts";
import type { SessionCookies } from "./session_cookies.ts";

/** koa-session's middleware. */
export type KoaSession = (
  ctx: Context,
  next: () => Promise<void>,
) => Promise<void>;

type Call = { readonly ctx: Context };

/**
 * Makes koa-session's middleware.
 *
 * @param valid koa-session's option of this name
 * @throws {TypeError} when koa-session refuses an option
 */
export function koaSessionMiddleware(
  app: KoaApplication,
  { native }: ResolvedOptions,
  sessions: KoaSessionStore,
  cookies: SessionCookies,
  valid: SessionValidity["checkOnce"] | undefined,
): KoaSession {
  const store = {
    get: (sid: string, _maxAge: unknown, { ctx }: Call) =>
      Promise.resolve(sessions.load(ctx, sid)),
    set: (sid: string, data: SessionData, _maxAge: unknown, { ctx }: Call) =>
      sessions.save(ctx, sid, data),
    destroy: (sid: string, { ctx }: Call) => sessions.destroy(ctx, sid),
  };
  const externalKey = {
    get: (ctx: Context) => ctx[STATE]?.sid ?? "",
    set: (ctx: Context, sid: string) => cookies.sendSession(ctx, sid),
  };
  const own = { store, externalKey, ...valid && { valid } };
  try {
    return installKoaSession(app, { ...native, ...own });
  } catch (cause) {
    const { issues } = cause as {
      issues?: { path?: unknown[]; message?: string }[];
    };
    const issue = issues?.[0];
    throw new TypeError(
      `Cannot bridge sessions as koa-session refused the option ${
        issue?.path?.join(".") ?? ""
      }: ${issue?.message ?? (cause as Error).message}`,
      { cause },
    );
  }
}
