/**
 * Findings about a set-up that loses sessions or leaves them unsafe.
 *
 * @module
 */
import type { ResolvedOptions } from "../api/options.ts";
import type { UserFacts } from "../lifecycle/user_facts.ts";

/** One thing that `bridge.doctor()` found. */
export interface Finding {
  /** Stable, in kebab-case. */
  readonly code: string;
  /** `"error"`: sessions are unsafe or will be lost. `"warning"`: they may be. `"info"`: good to know. */
  readonly severity: "error" | "warning" | "info";
  /** What is wrong. */
  readonly message: string;
  /** The remedy. */
  readonly fix: string;
  /** The requirement behind it, where there is one: OWASP ASVS 5.0 by number. */
  readonly standard: string | undefined;
}

/** The facts that the checks examine. */
export interface SetupReport {
  readonly options: ResolvedOptions;
  readonly randomKeys: boolean;
  readonly scope: "process" | "shared";
  /** Whether Socket.IO runs on an adapter that reaches other processes. */
  readonly manyNodes: boolean;
  readonly recovery: boolean;
  /** Whether Socket.IO has an engine. */
  readonly attached: boolean;
  readonly ran: boolean;
  readonly missed: boolean;
  /** How many requests came, and how many ended without an error of the bridge. */
  readonly requests: { readonly begun: number; readonly done: number };
  /** `app.keys`. */
  readonly keys: unknown;
  readonly corsCredentials: boolean;
  /** Whether a koa-session was put into the application after the bridge. */
  readonly secondKoaSession: boolean;
  readonly users: Pick<UserFacts, "passport" | "restless">;
}

/** The shortest key that counts as strong, in characters: 32 random bytes are 43 in base64. */
const MIN_KEY = 32;

/** The shortest name of a cookie that is likely to be an application's own, in characters. */
const MIN_NAME = 4;

/** How long a session may live without use, in ms. */
const LONG_LIFE = 30 * 24 * 60 * 60 * 1_000;

/** How many requests prove something. */
const MIN_REQUESTS = 3;

type Check = (report: SetupReport) => Finding | undefined;

const CHECKS: readonly Check[] = [
  ({ randomKeys }) =>
    when(randomKeys, {
      code: "random-keys",
      severity: "error",
      message:
        "The keys that cookies are signed with are random: every restart logs everybody out, and no two processes agree.",
      fix: "Set app.keys, or the option appKeys, to secrets that stay.",
      standard: "ASVS 5.0 V13.3.1",
    }),
  ({ options }) =>
    when(options.randomKey, {
      code: "random-cookie-name",
      severity: "warning",
      message:
        "The name of the session cookie is random: every restart forgets the sessions of a lasting store.",
      fix: "Set the option key.",
      standard: undefined,
    }),
  ({ scope, manyNodes }) =>
    when(
      scope === "process" && manyNodes,
      {
        code: "store-not-shared",
        severity: "error",
        message:
          "Socket.IO runs on an adapter for several processes, and the store is safe in one only: two processes lose each other's writes.",
        fix:
          "Use a store of scope shared, such as RedisStore, or SqliteStore on one machine.",
        standard: undefined,
      },
    ),
  ({ recovery }) =>
    when(recovery, {
      code: "recovery-on",
      severity: "info",
      message:
        "Connection state recovery is on: the bridge asks the store before a client is sent what it missed.",
      fix:
        "Nothing, if this is meant: packets of sessions that ended are not recovered.",
      standard: "ASVS 5.0 V7.4.1",
    }),
  ({ options, corsCredentials }) =>
    when(options.origin === "any" && corsCredentials, {
      code: "origin-any-credentials",
      severity: "error",
      message:
        "Every page on the web may open a socket with your users' cookies.",
      fix: 'Set the option origin to "same", or to a list of origins.',
      standard: "ASVS 5.0 V4.4.2",
    }),
  ({ options }) => {
    const { sameSite, secure } = options.native;
    const none = String(sameSite).toLowerCase() === "none";
    return when(none && secure !== true, {
      code: "same-site-none-insecure",
      severity: "error",
      message:
        "SameSite=None without Secure: browsers drop the cookie, and others send it in clear.",
      fix: "Set secure: true, behind TLS.",
      standard: "ASVS 5.0 V3.3.1",
    });
  },
  ({ options: { ownGenid, genid } }) =>
    when(ownGenid && sample(genid).some((id) => bits(id) < 128), {
      code: "weak-genid",
      severity: "error",
      message:
        "The option genid makes ids that have room for fewer than 128 random bits.",
      fix: "Leave genid out, or use generateUid(24).",
      standard: "ASVS 5.0 V7.2.3",
    }),
  ({ options }) =>
    when(options.onSessionEnd === "keep" && options.user !== undefined, {
      code: "keep-with-user",
      severity: "info",
      message:
        "Sessions belong to users, and sockets stay connected when they end.",
      fix: 'Set onSessionEnd to "disconnect" if a logout is to close them.',
      standard: "ASVS 5.0 V7.4.1",
    }),
  ({ options }) =>
    when(options.user === undefined, {
      code: "without-user",
      severity: "info",
      message:
        "The option user is not set: sockets follow a session to its new id when it is regenerated, and a client cookie lets sockets into the session that its client begins next, so it is a secret too.",
      fix:
        'Set user, or call ctx.regenerateSession({ sockets: "reconnect" }) at each login.',
      standard: "ASVS 5.0 V7.2.4",
    }),
  ({ options, users }) =>
    when(options.user === undefined && users.passport, {
      code: "passport-without-user",
      severity: "error",
      message:
        "A session holds a user of passport, and the option user is not set: sockets stay in the session when passport logs its user out.",
      fix: "Set user: (session) => session.passport?.user.",
      standard: "ASVS 5.0 V7.4.1",
    }),
  ({ users }) =>
    when(users.restless, {
      code: "restless-user",
      severity: "warning",
      message:
        "The user of a session changed three times within a minute: each change counts as a login or a logout.",
      fix:
        "Return from the option user the id of the user alone, without role, name or time.",
      standard: undefined,
    }),
  ({ options: { unknown } }) =>
    when(unknown.length > 0, {
      code: "unknown-options",
      severity: unknown.some(({ meant }) => meant !== undefined)
        ? "warning"
        : "info",
      message:
        `There are options of names that are not known, and that go to the cookies: ${
          unknown.map(({ name }) => JSON.stringify(name)).join(", ")
        }.`,
      fix: unknown.flatMap(({ name, meant }) =>
        meant === undefined ? [] : `${JSON.stringify(name)} may be ${meant}.`
      ).join(" ") || "Nothing, if these are attributes of cookies.",
      standard: undefined,
    }),
  ({ keys, randomKeys }) =>
    when(
      !randomKeys && Array.isArray(keys) &&
        keys.some((key) => typeof key === "string" && key.length < MIN_KEY),
      {
        code: "weak-keys",
        severity: "warning",
        message:
          `A key that cookies are signed with has fewer than ${MIN_KEY} characters: who guesses it makes cookies of any session id.`,
        fix: "Use keys of 32 random bytes: openssl rand -base64 32.",
        standard: "ASVS 5.0 V11.2.3",
      },
    ),
  ({ options }) =>
    when(options.native.secure !== true, {
      code: "not-secure",
      severity: "info",
      message: "The cookies are sent over plain HTTP too.",
      fix: "Set secure: true where the server is reached over TLS.",
      standard: "ASVS 5.0 V3.3.1",
    }),
  ({ options }) =>
    when(options.native.sameSite === undefined, {
      code: "no-same-site",
      severity: "info",
      message:
        "The cookies have no SameSite: browsers differ in which requests of other sites carry them.",
      fix: 'Set sameSite: "lax", or "strict".',
      standard: "ASVS 5.0 V3.3.2",
    }),
  ({ options: { native } }) => {
    const name = String(native.key);
    const prefixed = name.startsWith("__Host-");
    return when(native.secure === true && !native.domain && !prefixed, {
      code: "no-host-prefix",
      severity: "info",
      message:
        "The name of the session cookie has no prefix: another host of the domain may set it.",
      fix: `Set key: "__Host-${name}".`,
      standard: "ASVS 5.0 V3.3.3",
    });
  },
  ({ options: { native, randomKey } }) =>
    when(!randomKey && String(native.key).length < MIN_NAME, {
      code: "short-cookie-name",
      severity: "info",
      message:
        `The name of the session cookie has fewer than ${MIN_NAME} characters: another application on the same host may use it too.`,
      fix: "Set key to a name with that of the application in it.",
      standard: undefined,
    }),
  ({ options: { native: { maxAge } } }) =>
    when(typeof maxAge === "number" && maxAge > LONG_LIFE, {
      code: "long-life",
      severity: "warning",
      message: "A session lives for more than 30 days without any use.",
      fix: "Set a shorter maxAge, and rolling: true.",
      standard: "ASVS 5.0 V7.3.1",
    }),
  ({ options }) =>
    when(options.absoluteMaxAge === undefined, {
      code: "no-absolute-max-age",
      severity: "info",
      message: "A session that is used lives for ever.",
      fix: "Set absoluteMaxAge.",
      standard: "ASVS 5.0 V7.3.2",
    }),
  ({ secondKoaSession }) =>
    when(secondKoaSession, {
      code: "second-koa-session",
      severity: "error",
      message:
        "koa-session was added to the application after the bridge: ctx.session may be its own, which no socket sees.",
      fix: "Remove it, and give its options to bridgeSession.",
      standard: undefined,
    }),
  ({ requests: { begun, done } }) =>
    when(begun >= MIN_REQUESTS && done === 0, {
      code: "every-request-fails",
      severity: "error",
      message: `Each of ${begun} requests ended with an error of the bridge.`,
      fix:
        "Listen to the events error of the application and of the bridge: they say which.",
      standard: undefined,
    }),
  ({ ran, attached }) =>
    when(ran && !attached, {
      code: "not-attached",
      severity: "error",
      message:
        "Requests pass the bridge, and Socket.IO belongs to no HTTP server: no socket can connect.",
      fix: "Call io.attach(server).",
      standard: undefined,
    }),
  ({ ran, missed }) =>
    when(!ran, {
      code: "middleware-never-ran",
      severity: missed ? "error" : "info",
      message: "No HTTP request has passed the bridge yet.",
      fix:
        "Call bridgeSession(app, io) and app.use(...) before app.callback().",
      standard: undefined,
    }),
];

/** Examines a set-up. */
export function diagnose(report: SetupReport): Finding[] {
  return CHECKS.flatMap((check) => check(report) ?? []);
}

function when(found: boolean, finding: Finding): Finding | undefined {
  return found ? finding : undefined;
}

/** An id made by `genid`, if that works without a request. */
function sample(genid: (ctx: never) => string): readonly string[] {
  try {
    const id = genid({ state: {} } as never);
    return typeof id === "string" ? [id] : [];
  } catch {
    // it needs a real request: its ids cannot be checked
    return [];
  }
}

/** How many bits an id of this length can hold at most, in the alphabet that it appears to use. */
function bits(id: string): number {
  const alphabet = /^\d+$/.test(id)
    ? 10
    : /^[\da-f-]+$/i.test(id)
    ? 16
    : /^[\da-z]+$/.test(id)
    ? 36
    : 64;
  // a UUID has a fixed version and variant among its 32 digits
  if (/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab]/i.test(id)) return 122;
  return Math.floor(
    id.replace(/-/g, alphabet === 16 ? "" : "-").length * Math.log2(alphabet),
  );
}
