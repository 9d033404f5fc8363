/**
 * Installing in a Koa application. A bridge that is made after another one was
 * closed takes its place: in the order of middlewares, which Koa fixes at
 * `app.callback()`, and in the members that koa-session adds to contexts.
 *
 * @module
 */
import createSession from "koa-session";
import type { KoaApplication } from "../api/koa.ts";
import { hasOwn } from "../base/own_keys.ts";

type Middleware = (ctx: never, next: () => Promise<void>) => Promise<void>;

/** The place of bridges in each application. */
const places = new WeakMap<object, { current: Middleware }>();

/** The contexts whose koa-session is a bridge's, with what tells it from another one. */
const installed = new WeakMap<object, PropertyDescriptor["get"]>();

/** Adds a middleware, in the place of the closed bridge's where there is one. */
export function useInPlace(app: KoaApplication, middleware: Middleware): void {
  const place = places.get(app);
  if (place) {
    place.current = middleware;
    return;
  }
  const first = { current: middleware };
  places.set(app, first);
  app.use((ctx, next) => first.current(ctx, next));
}

/**
 * Makes koa-session's middleware, and adds its members to contexts. It defines
 * them once and for all, and keeps silent about a second time: here they are
 * defined elsewhere first, and copied so that they can be replaced.
 */
export function installKoaSession<M>(
  { context }: Pick<KoaApplication, "context">,
  options: object,
): M {
  const elsewhere = { context: {}, use() {} };
  const middleware = createSession(options as never, elsewhere as never);
  const members = Object.getOwnPropertyDescriptors(elsewhere.context);
  [contextSession] = Object.getOwnPropertySymbols(members);
  for (const key of Reflect.ownKeys(members)) {
    const member = Reflect.get(members, key) as PropertyDescriptor;
    Object.defineProperty(context, key, { ...member, configurable: true });
  }
  installed.set(context, descriptorOf(context)?.get);
  return middleware as M;
}

/** The key of koa-session's own state on a context: the one symbol that it defines there, and does not export. */
let contextSession: symbol | undefined;

/** A hash that no session has: koa-session's hashes are not negative. */
const NO_HASH = -1;

/** Makes koa-session commit the session at the end of the request, equal to what it loaded or not. */
export function forceCommit(ctx: object): void {
  const state = contextSession && Reflect.get(ctx, contextSession);
  if (state) state.prevHash = NO_HASH;
}

/** The object that `ctx.session` is, if the request has used it. */
export function heldSession(ctx: object): object | undefined {
  const state = contextSession && Reflect.get(ctx, contextSession);
  return state?.session || undefined;
}

/**
 * Whether a koa-session was put into an application after its bridge: one of
 * another copy of the package takes `ctx.session` over, and one of the same
 * copy has no effect but a second commit.
 */
export function hasSecondKoaSession(
  { context, middleware }: KoaApplication & { readonly middleware?: unknown },
): boolean {
  const { get } = descriptorOf(context) ?? {};
  if (get !== undefined && get !== installed.get(context)) return true;
  return Array.isArray(middleware) && middleware.some(isKoaSession);
}

/** koa-session's middleware has its name, and nothing else that tells it from others but its text. */
function isKoaSession(middleware: unknown): boolean {
  return typeof middleware === "function" && middleware.name === "session" &&
    String(middleware).includes("autoCommit");
}

function descriptorOf(context: object): PropertyDescriptor | undefined {
  return Object.getOwnPropertyDescriptor(context, "sessionOptions");
}

/** Whether an application has a koa-session that no bridge installed. */
export function hasForeignKoaSession(
  { context }: Pick<KoaApplication, "context">,
): boolean {
  return hasOwn(context, "sessionOptions") && !installed.has(context);
}
