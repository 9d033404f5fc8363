/**
 * Preconditions: an application and a server that can be bridged, and keys.
 *
 * @module
 */
import type { Server } from "socket.io";
import { describeValue, refuse } from "../base/arguments.ts";
import { generateUid } from "../base/ids.ts";
import type { KoaApplication } from "../api/koa.ts";
import type { ResolvedOptions, UnknownOption } from "../api/options.ts";
import { engineOf, isGuardable, NOT_GUARDABLE } from "../sockets/engine_io.ts";
import { hasForeignKoaSession } from "../http/installation.ts";
import { isSocketServer } from "../sockets/socket_io.ts";

const bridgedApps = new WeakSet<object>();
const bridgedServers = new WeakSet<object>();

/**
 * Checks the two arguments of a bridge.
 *
 * @throws {TypeError} for another type, or one that has sessions already
 */
export function assertBridgeable(
  app: unknown,
  io: unknown,
): asserts io is Server {
  const koa = app as KoaApplication | undefined | null;
  if (
    typeof koa?.use !== "function" || typeof koa.createContext !== "function"
  ) {
    refuse("bridge sessions", "app", "a Koa application", app);
  }
  if (!isSocketServer(io)) {
    refuse("bridge sessions", "io", "a Socket.IO server", io);
  }
  const engine = engineOf(io);
  if (engine && !isGuardable(engine)) throw new TypeError(NOT_GUARDABLE);
  if (bridgedApps.has(koa)) {
    throw new TypeError(
      "Cannot bridge sessions as app has a bridge already: one is enough",
    );
  }
  if (bridgedServers.has(io)) {
    throw new TypeError(
      "Cannot bridge sessions as io has a bridge already: one is enough",
    );
  }
  // a second koa-session silently keeps the options of the first
  if (hasForeignKoaSession(koa)) {
    throw new TypeError(
      "Cannot bridge sessions as app has koa-session already: the bridge brings its own",
    );
  }
}

/**
 * Marks an application and a server as bridged.
 *
 * @returns unmarks them
 */
export function markBridged(app: object, io: object): () => void {
  bridgedApps.add(app);
  bridgedServers.add(io);
  return () => {
    bridgedApps.delete(app);
    bridgedServers.delete(io);
  };
}

/** The keys that a bridge gave to an application. */
const ownKeys = new WeakMap<
  object,
  { readonly keys: unknown; readonly random: boolean }
>();

/**
 * Refuses requests of another application that this one is mounted in, by
 * koa-mount for example. Their contexts are not made by this application, so
 * that they lack `ctx.session`, or have the other application's.
 *
 * @returns lets all requests pass
 */
export function refuseMounting(app: KoaApplication): () => void {
  let open = true;
  app.use((ctx, next) => {
    if (open && !Object.prototype.isPrototypeOf.call(app.context, ctx)) {
      throw new TypeError(
        "Cannot use the session as the application of the bridge must not be mounted in another application, as by koa-mount: call bridgeSession with the outermost one, whose session the mounted ones have too",
      );
    }
    return next();
  });
  return () => void (open = false);
}

/**
 * Makes sure that there are keys to sign cookies with.
 *
 * @returns whether they are random
 */
export function ensureAppKeys(
  app: KoaApplication,
  { appKeys, signed, allowRndAppKeys }: ResolvedOptions,
): boolean {
  const own = ownKeys.get(app);
  // those of a closed bridge
  const former = own !== undefined && own.keys === app.keys;
  if (former && !appKeys) return own.random;
  // an empty list cannot sign
  const given = !former &&
    (Array.isArray(app.keys) ? app.keys.length > 0 : app.keys);
  if (given) {
    assertKeys(app.keys);
    if (!appKeys) return false;
    throw new TypeError(
      "Cannot bridge sessions as the option appKeys must be left out where app.keys are set: received both",
    );
  }
  app.keys = appKeys ? [...appKeys] : [generateUid(32), generateUid(32)];
  ownKeys.set(app, { keys: app.keys, random: !appKeys });
  if (appKeys) return false;
  if (signed && !allowRndAppKeys) {
    console.warn(
      "[koa-io-session] app.keys are not set: random ones sign the cookies, and a restart logs everybody out. Set app.keys, or the option appKeys.",
    );
  }
  return true;
}

/**
 * Checks the keys of an application: strings or bytes, or an object that signs.
 *
 * @throws {TypeError} for keys that cannot sign
 */
function assertKeys(keys: unknown): void {
  const signs = typeof (keys as { sign?: unknown }).sign === "function";
  if (signs) return;
  const isKey = (key: unknown) =>
    typeof key === "string" && key.length > 0 ||
    key instanceof Uint8Array && key.length > 0;
  if (Array.isArray(keys) && keys.every(isKey)) return;
  throw new TypeError(
    `Cannot sign cookies as app.keys must be an array of strings that are not empty, or a Keygrip: received ${
      Array.isArray(keys)
        ? `an array with ${
          describeValue(keys.find((key) => !isKey(key)))
        } in it`
        : typeof keys
    }`,
  );
}

/** Warns of unknown options whose name is close to a known one: as attributes of a cookie they have no effect. */
export function warnOfUnknown(unknown: readonly UnknownOption[]): void {
  const misspelt = unknown.filter(({ meant }) => meant !== undefined);
  if (misspelt.length === 0) return;
  const guesses = misspelt.map(({ name, meant }) =>
    `${JSON.stringify(name)} (did you mean ${meant}?)`
  );
  console.warn(
    `[koa-io-session] There is no option ${
      guesses.join(", ")
    }: what is not known goes to the cookies.`,
  );
}
