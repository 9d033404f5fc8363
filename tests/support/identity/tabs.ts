/** Sockets as the tabs of a browser have them. */
import type { Browser, ClientSocket, ConnectOptions } from "../browser.ts";
import type { CookieJar } from "../cookies.ts";
import { until } from "../wait.ts";

/** The ids of a socket; none where it is in no session, or follows no client. */
export interface Ids {
  readonly sessionId?: string | undefined;
  readonly clientId?: string | undefined;
}

/** The client's flag that asks for `session:start` and `session:none` at connect. */
const ASKS = { auth: { "koa-io-session": 1 } };

/**
 * Connects a socket that reconnects within milliseconds, with the cookies that
 * its jar has at that time.
 */
export async function openTab(
  browser: Browser,
  options: ConnectOptions = {},
): Promise<ClientSocket> {
  const { jar = browser.jar } = options;
  const socket = browser.socket("/", {
    reconnection: true,
    reconnectionDelay: 5,
    reconnectionDelayMax: 5,
    ...ASKS,
    ...options,
  });
  socket.io.on("reconnect_attempt", () => {
    const cookie = jar.header(browser.url);
    socket.io.opts.extraHeaders = { cookie };
  });
  await browser.open(socket);
  return socket;
}

/** The ids of a socket's session and client, as the server has them. */
export async function whoami(
  browser: Browser,
  socket: ClientSocket,
): Promise<Ids> {
  return await browser.ask(socket, "whoami");
}

/** The ids that a new socket with these cookies is given. */
export async function handshake(
  browser: Browser,
  jar: CookieJar = browser.jar,
): Promise<Ids> {
  const socket = await browser.connect("/", { jar });
  const ids = await whoami(browser, socket);
  socket.disconnect();
  return ids;
}

/** Resolves once a socket, which may have to reconnect, is in this session. */
export function entered(
  browser: Browser,
  socket: ClientSocket,
  sessionId: string | undefined,
): Promise<void> {
  return until(
    async () => {
      if (!socket.connected) return false;
      // the acknowledgement is lost where the connection is closed under it
      const ids = await socket.timeout(500).emitWithAck("whoami")
        .catch(() => undefined);
      return ids?.sessionId === sessionId;
    },
    `a socket of ${browser.url} in ${sessionId}`,
  );
}

/** How often a socket has been closed at the transport so far. */
export function closings(socket: ClientSocket): { readonly count: number } {
  const state = { count: 0 };
  socket.on("disconnect", (reason) => {
    if (reason === "transport close") state.count++;
  });
  return state;
}
