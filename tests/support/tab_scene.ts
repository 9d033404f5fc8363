/** A browser with a session and two tabs, and what the bridge says of it. */
import { serverSocketOf, type TestSession, type TestSocket } from "./app.ts";
import type { Browser } from "./browser.ts";
import { type Scenario, startScenario } from "./scenario.ts";
import type { ServerConfig, TestOptions } from "./server.ts";
import { Tab } from "./tabs.ts";

/** The values of the option `onUserChange`. */
export const MODES = ["reconnect", "follow", "keep"] as const;

/** A server and a browser with two tabs. */
export interface TabScene extends Omit<Scenario, "browser"> {
  readonly browser: Browser;
  readonly sessionId: string;
  readonly clientId: string;
  readonly tabs: readonly Tab[];
  /** The events of the bridge from now on that concern sessions and users. */
  readonly events: readonly [string, Record<string, unknown>][];
  /** The server's end of the first tab. */
  readonly socket: TestSocket;
  readonly stand: Scenario;
}

/**
 * Starts a {@linkcode TabScene}.
 *
 * @param session the data of the browser's session; `null` for none
 */
export async function tabScene(
  session: TestSession | null,
  options: TestOptions = {},
  config: ServerConfig = {},
): Promise<TabScene> {
  const user = ({ user }: TestSession) => user;
  const stand = await startScenario({ user, ...options }, config);
  const browser = stand.browser();
  await browser.get("/");
  if (session) await browser.post("/session", { json: session });
  const { sessionId, clientId } = (await browser.get("/")).json;
  const tabs = [await Tab.open(browser), await Tab.open(browser)];
  for (const tab of tabs) await tab.isIn(sessionId);
  const events: [string, Record<string, unknown>][] = [];
  for (const name of ["sessionStart", "sessionEnd", "userChange"] as const) {
    stand.bridge.on(name, (event: object) => {
      events.push([name, event as Record<string, unknown>]);
    });
  }
  const socket = serverSocketOf(stand.io, tabs[0]!.client);
  return {
    ...stand,
    browser,
    sessionId,
    clientId,
    tabs,
    events,
    socket,
    stand,
  };
}
