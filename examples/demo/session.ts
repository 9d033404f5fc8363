/** What the demo keeps in a session, and what of it a page gets to see. */

/** The session: it begins with a login. */
export interface DemoSession {
  user?: string;
  count?: number;
}

/** How a page is told who it is, over HTTP and over the socket alike. */
export interface Me {
  readonly clientId: string | undefined;
  readonly sessionId: string | undefined;
  readonly user: string | undefined;
  readonly count: number | undefined;
}

/** What every tab hears when the counter moved. */
export interface CounterEvent {
  readonly value: number;
  readonly via: "ctx.session" | "ctx.withSession" | "socket.withSession";
  /** The tab that asked for it, as it named itself. */
  readonly tab: string | undefined;
}

/**
 * Makes an id fit to be looked at: both ids open the session to whoever knows
 * them, so no more than their beginning leaves the server.
 */
export function shorten(id: string | undefined): string | undefined {
  return id === undefined ? undefined : `${id.slice(0, 6)}…`;
}

/** A tab's name for itself, if it is one. */
export function tabName(value: unknown): string | undefined {
  return typeof value === "string" && /^[a-z0-9]{1,8}$/.test(value)
    ? value
    : undefined;
}
