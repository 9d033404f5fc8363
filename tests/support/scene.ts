/** The scene that most tests of sockets begin with. */
import {
  type Browser,
  type ClientSocket,
  routesAndEvents,
  type ServerConfig,
  serverSocketOf,
  type Stand,
  startServer,
  type TestOptions,
  type TestSession,
  type TestSocket,
} from "./harness.ts";

/** A server, and a browser with a session and a connected socket. */
export interface Scene extends Stand {
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
 * Sets the scene: Ada has a session with this in it (`null`: none), settled on
 * her client id, and a socket. The server has {@linkcode routesAndEvents}.
 */
export async function scene(
  session: TestSession | null = { n: 1 },
  options: TestOptions = {},
  config: ServerConfig = {},
): Promise<Scene> {
  const stand = await startServer(options, routesAndEvents, config);
  const ada = stand.browser();
  await ada.get("/");
  if (session) await ada.post("/session", { json: session });
  const { sessionId } = (await ada.get("/")).json;
  const client = await ada.connect();
  const socket = serverSocketOf(stand.io, client);
  return { ...stand, ada, client, socket, sessionId };
}
