/** A server with one browser that has a session and a connected socket. */
import { serverSocketOf, type TestSession, type TestSocket } from "./app.ts";
import type { Browser, ClientSocket } from "./browser.ts";
import { routesAndEvents } from "./routes.ts";
import {
  type ServerConfig,
  type Stand,
  startServer,
  type TestOptions,
} from "./server.ts";

/** A server, and a browser with a session and a connected socket. */
export interface ConnectedScenario extends Stand {
  /** The browser. */
  readonly ada: Browser;
  /** The client's end of the socket. */
  readonly client: ClientSocket;
  /** The server's end of it. */
  readonly socket: TestSocket;
  /** The id of the session; `undefined` where there is none. */
  readonly sessionId: string;
}

/**
 * Starts the scenario: the browser has a session with this data (`null`: none), bound to its client id, and a socket. The server has {@linkcode routesAndEvents}.
 */
export async function connectedScenario(
  session: TestSession | null = { n: 1 },
  options: TestOptions = {},
  config: ServerConfig = {},
): Promise<ConnectedScenario> {
  const stand = await startServer(options, routesAndEvents, config);
  const ada = stand.browser();
  await ada.get("/");
  if (session) await ada.post("/session", { json: session });
  const { sessionId } = (await ada.get("/")).json;
  const client = await ada.connect();
  const socket = serverSocketOf(stand.io, client);
  return { ...stand, ada, client, socket, sessionId };
}
