/** Pages of several origins in a real Chromium, and what they reach of a user's session. */
import { createServer, type Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, describe } from "@std/testing/bdd";
import { assert, assertEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { warningsOf } from "../support/console.ts";
import {
  CHROMIUM,
  closeChromium,
  closeContexts,
  inPage,
  newContext,
} from "../support/chromium.ts";
import { itNeeds } from "../support/requires.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import type { ServerConfig, TestOptions } from "../support/server.ts";

/** All of one site, so that the browser sends cookies from one to another. */
const APP_HOST = "www.app.localhost";
const SIBLING_HOST = "blog.app.localhost";

/** A page that loads socket.io's client and connects; `window.connect` resolves to what it reached. */
const CLIENT_PAGE = (app: string) =>
  `<!doctype html><link rel="icon" href="data:,"><script src="${app}/socket.io/socket.io.js"></script><script>
window.connect = (options) => new Promise((resolve) => {
  const socket = io("${app}", { reconnection: false, withCredentials: true, ...options });
  socket.on("connect_error", (error) => resolve(error.message));
  socket.on("connect", async () => {
    const { engine } = socket.io;
    if (options.upgraded && engine.transport.name === "polling") {
      await new Promise((upgraded) => engine.once("upgrade", upgraded));
    }
    const session = await socket.timeout(5000).emitWithAck("get");
    const { name } = engine.transport;
    socket.disconnect();
    resolve({ name, session });
  });
});
</script>`;

/** A page that speaks JSONP polling: \`<script>\` to receive, \`<form>\` to send. */
const JSONP_PAGE = (app: string) =>
  `<!doctype html><link rel="icon" href="data:,"><body><script>
const base = "${app}/socket.io/?transport=polling&j=0";
let receive;
window.___eio = [(text) => receive(text)];
const load = (url) => new Promise((resolve, reject) => {
  receive = resolve;
  const script = document.createElement("script");
  script.onerror = () => reject("refused");
  script.src = url;
  document.body.append(script);
});
const send = (sid, data) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.name = "sent";
  document.body.append(frame);
  const form = Object.assign(document.createElement("form"), { method: "POST", target: "sent", action: base + "&EIO=4&sid=" + sid });
  const field = Object.assign(document.createElement("textarea"), { name: "d", value: data });
  form.append(field);
  document.body.append(form);
  frame.onload = () => { form.remove(); frame.remove(); resolve(); };
  form.submit();
});
window.attack = async () => {
  try {
    const { sid } = JSON.parse((await load(base + "&EIO=4")).slice(1));
    await send(sid, "40");
    return await load(base + "&EIO=4&sid=" + sid);
  } catch (error) { return String(error); }
};
window.open3 = (tag, query) => new Promise((resolve) => {
  const element = document.createElement(tag);
  element.onload = element.onerror = resolve;
  element.src = "${app}/socket.io/?EIO=3&transport=polling" + query;
  document.body.append(element);
});
</script>`;

interface Stage {
  readonly scenario: Scenario;
  /** The application's own origin. */
  readonly app: string;
  /** The same host with another port. */
  readonly otherPort: string;
  /** Another host of the same site. */
  readonly sibling: string;
  open(url: string): Promise<Page>;
}

describe("in a real Chromium", () => {
  let foreign: HttpServer | undefined;
  afterAll(closeChromium);
  afterEach(async () => {
    await closeContexts();
    foreign?.closeAllConnections();
    foreign?.close();
    foreign = undefined;
  });

  /** Starts the application and the foreign pages; the user is logged in as ada. */
  async function stage(
    act: (stage: Stage) => Promise<void>,
    options: (otherPort: string) => TestOptions = () => ({}),
    config: ServerConfig = {},
  ): Promise<void> {
    let app = "";
    const pages = createServer((req, res) => {
      res.setHeader("content-type", "text/html");
      res.end((req.url === "/jsonp" ? JSONP_PAGE : CLIENT_PAGE)(app));
    });
    foreign = pages;
    await new Promise<void>((done) => pages.listen(0, "127.0.0.1", done));
    const { port } = pages.address() as AddressInfo;
    const otherPort = `http://${APP_HOST}:${port}`;
    await using scenario = await startScenario(options(otherPort), config);
    app = `http://${APP_HOST}:${scenario.port}`;
    scenario.route("/page", () => CLIENT_PAGE(app));
    scenario.route("/jsonp", () => JSONP_PAGE(app));
    const context = await newContext();
    const open = async (url: string) => {
      const page = await context.newPage();
      await page.goto(url);
      return page;
    };
    const page = await open(`${app}/page`);
    const login = `fetch("/session", { method: "POST", body: '{"user":"ada"}' })
      .then((answer) => answer.status)`;
    assertEquals(await inPage(page, login), 200);
    const sibling = `http://${SIBLING_HOST}:${port}`;
    await act({ scenario, app, otherPort, sibling, open });
  }

  const connect = (page: Page, options: object): Promise<unknown> =>
    inPage(page, `connect(${JSON.stringify(options)})`);

  const ADA = { user: "ada" };

  itNeeds(
    "Chromium",
    CHROMIUM,
    "a page of the application reaches its session by each transport",
    () =>
      stage(async ({ app, open }) => {
        const page = await open(`${app}/page`);
        assertEquals(await connect(page, { transports: ["polling"] }), {
          name: "polling",
          session: ADA,
        });
        assertEquals(await connect(page, { upgraded: true }), {
          name: "websocket",
          session: ADA,
        });
        assertEquals(await connect(page, { transports: ["websocket"] }), {
          name: "websocket",
          session: ADA,
        });
      }),
  );

  itNeeds(
    "Chromium",
    CHROMIUM,
    "a page of an origin that the option origin names reaches the session by each transport",
    () =>
      stage(
        async ({ otherPort, open }) => {
          const page = await open(otherPort);
          const extraHeaders = { "x-preflight": "yes" };
          const polling = { name: "polling", session: ADA };
          const websocket = { name: "websocket", session: ADA };
          const transports = ["polling"];
          assertEquals(await connect(page, { transports }), polling);
          assertEquals(
            await connect(page, { transports, extraHeaders }),
            polling,
          );
          assertEquals(await connect(page, { upgraded: true }), websocket);
          assertEquals(
            await connect(page, { transports: ["websocket"] }),
            websocket,
          );
        },
        (otherPort) => ({ origin: [otherPort] }),
      ),
  );

  itNeeds(
    "Chromium",
    CHROMIUM,
    "a page of another origin reaches nothing, by any transport",
    () =>
      stage(async ({ scenario, otherPort, sibling, open }) => {
        let connections = 0;
        scenario.io.on("connection", () => connections++);
        const warnings = await warningsOf(async () => {
          for (const origin of [otherPort, sibling]) {
            const page = await open(origin);
            for (const transports of [["polling"], ["websocket"]]) {
              const reached = await connect(page, { transports });
              assertEquals(typeof reached, "string", JSON.stringify(reached));
            }
          }
        });
        assertEquals(connections, 0);
        assertEquals(warnings.length, 1);
        assert(warnings[0]!.includes(otherPort), warnings[0]);
      }),
  );

  itNeeds(
    "Chromium",
    CHROMIUM,
    "JSONP polling opens no socket, from another port, a sibling host or the application itself",
    () =>
      stage(async ({ scenario, app, otherPort, sibling, open }) => {
        let connections = 0;
        scenario.io.engine.on("connection", () => connections++);
        await warningsOf(async () => {
          for (const origin of [otherPort, sibling, app]) {
            const page = await open(`${origin}/jsonp`);
            assertEquals(await inPage(page, "attack()"), "refused", origin);
          }
        });
        assertEquals(connections, 0);
        // without the bridge it does: the page is right, and the refusal was the bridge's
        await scenario.bridge.close();
        const page = await open(`${otherPort}/jsonp`);
        assert(String(await inPage(page, "attack()")).startsWith("40"));
      }),
  );

  itNeeds(
    "Chromium",
    CHROMIUM,
    "neither a script nor an image opens a socket with allowEIO3",
    () =>
      stage(
        async ({ scenario, otherPort, sibling, open }) => {
          let connections = 0;
          scenario.io.engine.on("connection", () => connections++);
          const load = async (origin: string) => {
            const page = await open(`${origin}/jsonp`);
            for (const tag of ["img", "script"]) {
              await inPage(page, `open3("${tag}", "").then(() => 0)`);
              await inPage(page, `open3("${tag}", "&j=0").then(() => 0)`);
            }
          };
          await warningsOf(async () => {
            for (const origin of [otherPort, sibling]) await load(origin);
          });
          assertEquals(connections, 0);
          await scenario.bridge.close();
          await load(sibling);
          assertEquals(connections, 4);
        },
        () => ({ origin: "any" }),
        { io: { allowEIO3: true } },
      ),
  );
});
