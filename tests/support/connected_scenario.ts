/** The scenario that most tests of sockets begin with. */
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
  /** Her browser. */
  readonly ada: Browser;
  /** Her end of the socket. */
  readonly client: ClientSocket;
  /** The server's end of it. */
  readonly socket: TestSocket;
  /** Her session; `undefined` where she was given none. */
  readonly sessionId: string;
}

/**
 * Sets the scenario: Ada has a session with this in it (`null`: none), settled on
 * her client id, and a socket. The server has {@linkcode routesAndEvents}.
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
