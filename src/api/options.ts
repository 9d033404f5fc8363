/**
 * The options of the bridge, as given and as resolved.
 *
 * @module
 */
import type { Conflict } from "./events.ts";
import type { CallbackContext, CookieOptions } from "./koa.ts";
import type { AtomicStore, BasicStore, SessionData } from "./store.ts";
import type { IncomingMessage } from "node:http";
import type { SessionSchema } from "./schema.ts";

/** A class whose instances are stores, made for each Koa context. */
export type ContextStoreClass = new (ctx: never) => BasicStore;

/** Carries the session's id elsewhere than in a cookie. */
export interface ExternalKey {
  /** The id, or a falsy value; in a handshake `ctx.handshake` is set. */
  get(ctx: CallbackContext): string | undefined | null;
  /** Sends the id to the client. */
  set(ctx: CallbackContext, id: string): void;
}

/** What becomes of the sockets of a session that ended. */
export type OnSessionEnd =
  | "keep"
  | "disconnect"
  | {
    /** The grace, in ms. */
    readonly disconnectAfter: number;
    /** A second event, emitted beside `session:end` with the same payload, for clients of former versions. */
    readonly event?: string | undefined;
  };

/** What a request that changes the user of its session does to ids and sockets. */
export type OnUserChange =
  /** The session id is new, and the client's sockets come back with the new cookies. */
  | "reconnect"
  /** The session id is new, and the sockets stay in the session. */
  | "follow"
  /** Ids and sockets stay as they are. */
  | "keep";

/** How many live sessions a user may have. */
export interface SessionLimit {
  /** How many, an integer of at least 1. */
  readonly max: number;
  /**
   * What a login beyond that does: `"oldest"` ends the session that was used
   * longest ago, `"refuse"` rejects with `SessionLimitError`.
   *
   * @default {"oldest"}
   */
  readonly exceed?: "oldest" | "refuse" | undefined;
}

/** A function that is given a Koa context; its parameter may be annotated with a type of the application. */
export type ContextCallback<A extends readonly unknown[], R> = {
  // the parameters of methods are compared in both directions
  call(ctx: CallbackContext, ...args: A): R;
}["call"];

/**
 * The options of `bridgeSession`. `null` counts as left out. Each option of
 * koa-session 7 is one too, and unknown options are forwarded to the cookies.
 */
export interface BridgeOptions<S extends object = SessionData> {
  /** The name of the session cookie. @default `generateUid(12)` */
  readonly key?: string | null | undefined;
  /** The name of the client cookie; it too is a secret. @default `` `${key}.cid` `` */
  readonly clientKey?: string | null | undefined;
  /** How long a session lives without activity, in ms, or `"session"`. @default {2_592_000_000} 30 days */
  readonly maxAge?: number | "session" | null | undefined;
  /** How long the client cookie lives, in ms. @default {31_536_000_000} 1 year */
  readonly clientMaxAge?: number | null | undefined;
  /** Whether the client cookie is refreshed on each response. @default {true} */
  readonly clientAlwaysRoll?: boolean | null | undefined;
  /** Sets `app.keys`. */
  readonly appKeys?: readonly string[] | null | undefined;
  /** Whether keys may be random without a warning. @default {false} */
  readonly allowRndAppKeys?: boolean | null | undefined;
  /** Where sessions are kept. @default `new SessionStore(options)` */
  readonly store?: BasicStore | AtomicStore | null | undefined;
  /** A class whose instances are the store of each request. */
  readonly ContextStore?: ContextStoreClass | null | undefined;
  /** Passed to the default store. @default {true} */
  readonly autoCleanup?: boolean | null | undefined;
  /** Passed to the default store, in ms. @default `maxAge / 10`, 1 s to 1 h */
  readonly autoCleanupMs?: number | null | undefined;
  /** Whether cookies are signed. @default {true} */
  readonly signed?: boolean | null | undefined;
  /** Whether a request commits its session automatically. @default {true} */
  readonly autoCommit?: boolean | null | undefined;
  /** Whether the session cookie is sent with every response. @default {false} */
  readonly rolling?: boolean | null | undefined;
  /** Whether the session cookie is renewed past half of its life. @default {false} */
  readonly renew?: boolean | null | undefined;
  /** Cookie attribute. @default {true} */
  readonly httpOnly?: boolean | null | undefined;
  /** Cookie attribute. @default whether the connection is secure */
  readonly secure?: boolean | null | undefined;
  /** Cookie attribute: `"strict"`, `"lax"` or `"none"`; `true` is `"strict"`, `false` leaves it out. */
  readonly sameSite?: string | boolean | null | undefined;
  /** Cookie attribute. */
  readonly domain?: string | null | undefined;
  /** Cookie attribute. @default {"/"} */
  readonly path?: string | null | undefined;
  /** Whether a cookie replaces one of the same name in the same answer. @default {true} */
  readonly overwrite?: boolean | null | undefined;
  /** Put before each generated id, unless `genid` is given. */
  readonly prefix?: string | null | undefined;
  /** Makes session ids. @default 144 random bits */
  readonly genid?: ContextCallback<[], string> | null | undefined;
  /** Carries the session's id elsewhere than in a cookie. */
  readonly externalKey?: ExternalKey | null | undefined;
  /**
   * Whether a stored session may be used with this request, or this handshake.
   * Sockets that are in the session are not asked about again; after a loss of
   * connection they are, as connection state recovery is refused with it.
   */
  readonly valid?: ContextCallback<[session: S], unknown> | null | undefined;
  /** Called before koa-session saves. */
  readonly beforeSave?:
    | ContextCallback<[session: S], unknown>
    | null
    | undefined;
  /** koa-session's; of no use with a store. */
  readonly encode?: ((data: never) => string) | null | undefined;
  /** koa-session's; of no use with a store. */
  readonly decode?: ((text: string) => unknown) | null | undefined;
  /** What becomes of the sockets of a session that ended. @default {"keep"} */
  readonly onSessionEnd?: OnSessionEnd | null | undefined;
  /** Which write wins when two changed the same key to different values. @default {"last"} */
  readonly onConflict?:
    | "last"
    | "reject"
    | ((conflict: Conflict) => unknown)
    | null
    | undefined;
  /** When a session ends however active it is, in ms from its creation. */
  readonly absoluteMaxAge?: number | null | undefined;
  /** How often at most socket activity prolongs a session, in ms; `false` for never. @default `maxAge / 10`, at most 1 minute */
  readonly touchInterval?: number | false | null | undefined;
  /**
   * The user that a session belongs to; a number counts as its decimal text.
   * It is the user's id alone, without anything that changes while logged in.
   */
  readonly user?:
    | ((session: S) => string | number | null | undefined)
    | null
    | undefined;
  /**
   * What a request that changes the user of its session does to ids and
   * sockets. Only with `user`.
   *
   * @default {"reconnect"}
   */
  readonly onUserChange?: OnUserChange | null | undefined;
  /** How many live sessions a user may have. Only with `user`. @default off */
  readonly maxSessions?: number | SessionLimit | null | undefined;
  /**
   * What is kept beside a session for a page of active devices, such as
   * address and browser: JSON of at most 1 kB, taken when the session begins
   * and at each login.
   */
  readonly meta?: ContextCallback<[], object> | null | undefined;
  /**
   * Which origins may open a socket with cookies. Those that it names get CORS
   * headers where Socket.IO has no option `cors`.
   *
   * @default {"cors"}
   */
  readonly origin?: OriginOption | null | undefined;
  /** How long to wait for a session, and to hold one, in ms. @default {5_000} */
  readonly lockTimeout?: number | null | undefined;
  /**
   * How many calls of this process may wait for one session; one more rejects
   * at once with a `SessionTimeoutError`.
   *
   * @default {1_000}
   */
  readonly maxWaiting?: number | null | undefined;
  /** How long the store may take for an answer, in ms. @default {5_000} */
  readonly storeTimeout?: number | null | undefined;
  /** How often live sessions are checked against a shared store, in ms. @default {60_000} */
  readonly reconcileInterval?: number | null | undefined;
  /**
   * What a client may see of its session: sent to its sockets as
   * `session:view` when they join the session and when it changes.
   */
  readonly view?: ((session: S) => unknown) | null | undefined;
  /** How long before the end of a session its sockets receive `session:expiring`, in ms. @default off */
  readonly expiringNotice?: number | null | undefined;
  /**
   * What a session holds, by any Standard Schema validator (zod, valibot,
   * arktype…): checked when loaded and when written. What it returns must be
   * a JSON object that it accepts again.
   */
  readonly schema?: SessionSchema<S> | null | undefined;
  /** What becomes of a stored session that `schema` refuses. @default {"throw"} */
  readonly onInvalid?: "end" | "throw" | null | undefined;
  /** Forwarded to the cookies. */
  readonly [attribute: string]: unknown;
}

/** An option that neither the bridge, koa-session nor a cookie has. */
export interface UnknownOption {
  readonly name: string;
  /** A known name that is close to it. */
  readonly meant: string | undefined;
}

/** The options, complete. */
export interface ResolvedOptions {
  readonly key: string;
  readonly clientKey: string;
  readonly randomKey: boolean;
  readonly maxAge: number | "session";
  readonly clientAlwaysRoll: boolean;
  readonly signed: boolean;
  readonly rolling: boolean;
  readonly appKeys: readonly string[] | undefined;
  readonly allowRndAppKeys: boolean;
  readonly store: BasicStore | AtomicStore | undefined;
  readonly ownStore: boolean;
  readonly ContextStore: ContextStoreClass | undefined;
  readonly externalKey: ExternalKey | undefined;
  readonly valid: ((ctx: never, session: never) => unknown) | undefined;
  readonly ownGenid: boolean;
  readonly genid: (ctx: never) => string;
  readonly onSessionEnd: OnSessionEnd;
  readonly onConflict: "last" | "reject" | ((conflict: Conflict) => unknown);
  readonly absoluteMaxAge: number | undefined;
  readonly touchInterval: number | false;
  readonly user:
    | ((session: SessionData) => string | number | null | undefined)
    | undefined;
  /** `undefined` where `user` is not set. */
  readonly onUserChange: OnUserChange | undefined;
  readonly maxSessions:
    | { readonly max: number; readonly exceed: "oldest" | "refuse" }
    | undefined;
  readonly meta: ((ctx: never) => unknown) | undefined;
  readonly origin: OriginOption;
  readonly lockTimeout: number;
  readonly maxWaiting: number;
  readonly storeTimeout: number;
  readonly reconcileInterval: number;
  readonly view: ((session: SessionData) => unknown) | undefined;
  readonly expiringNotice: number | undefined;
  readonly schema: SessionSchema | undefined;
  readonly onInvalid: "end" | "throw";
  /** Options of unknown names; they go to the cookies. */
  readonly unknown: readonly UnknownOption[];
  /** koa-session's options, except for the store and the external key. */
  readonly native: Readonly<Record<string, unknown>>;
  /** The attributes of the client cookie. */
  readonly clientCookie: CookieOptions;
}

/** Decides about one `Origin`; `false`, or a throw, refuses the socket. */
export type OriginCheck = (
  origin: string,
  req: IncomingMessage,
) => boolean | Promise<boolean>;

/** The option `origin`. */
export type OriginOption =
  | "cors"
  | "same"
  | "any"
  | readonly string[]
  | RegExp
  | OriginCheck;
