/** The demo's session data, and the part of it that the page receives. */

/** The session data; a session begins with a login. */
export interface DemoSession {
  user?: string;
  count?: number;
}

/** The identity that the page shows, over HTTP and over the socket. */
export interface Me {
  readonly clientId: string | undefined;
  readonly sessionId: string | undefined;
  readonly user: string | undefined;
  readonly count: number | undefined;
}

/** A device that the user is logged in on, as the page lists it: without an id. */
export interface Device {
  /** Names the session where its end is asked for; no secret. */
  readonly handle: string;
  /** Whether it is the device that asks. */
  readonly current: boolean;
  /** Its User-Agent at the login. */
  readonly browser: string;
  /** The host at which it logged in. */
  readonly host: string;
  /** ms since the epoch. */
  readonly lastUsed: number | undefined;
}

/** The event that every tab receives when the counter changed. */
export interface CounterEvent {
  readonly value: number;
  readonly via: "ctx.session" | "ctx.withSession" | "socket.withSession";
  /** The name of the tab that counted. */
  readonly tab: string | undefined;
}

const LONGEST_PAUSE = 50;

/**
 * Adds one to the counter.
 *
 * @param pause how long it waits before it writes, as for a query to a database, in ms; at most 50
 * @returns the new count
 */
export async function increment(
  session: DemoSession,
  pause: unknown,
): Promise<number> {
  const next = (session.count ?? 0) + 1;
  const ms = Math.min(Number(pause) || 0, LONGEST_PAUSE);
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  return session.count = next;
}

/**
 * Shortens an id for display: either id gives access to the session, so only
 * the first characters are sent to the page.
 */
export function shorten(id: string | undefined): string | undefined {
  return id === undefined ? undefined : `${id.slice(0, 6)}…`;
}

/** The name of a tab, if it is valid. */
export function tabName(value: unknown): string | undefined {
  return typeof value === "string" && /^[a-z0-9]{1,8}$/.test(value)
    ? value
    : undefined;
}
