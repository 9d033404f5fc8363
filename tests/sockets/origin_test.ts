import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import {
  codeOf,
  connectLine,
  FaultyAtomicStore,
  type Scene,
  type ServerConfig,
  startScene,
  type TestOptions,
  until,
} from "../support/issue3.ts";

const APP = "https://app.example";
const FOREIGN = "https://evil.example";

/** Looks like the allowed origin to whoever compares by substring. */
const LOOKALIKES = [
  `${APP}.evil.example`,
  `${APP}evil`,
  "https://app.exampl",
  "https://evil.example/https://app.example",
  "https://xapp.example",
  "http://app.example",
  `${APP}:8443`,
  "null",
];

/** Whether a page of this origin may open a socket; both transports must agree. */
async function admits(
  scene: Scene,
  origin: string | undefined,
  headers: Record<string, string> = {},
): Promise<boolean> {
  const browser = scene.browser();
  const all = { ...(origin !== undefined && { origin }), ...headers };
  const polling = (await browser.handshake(all)).status;
  const websocket = await browser.upgrade(all);
  assert(
    (polling === 200 && websocket === 101) ||
      ((polling === 403 || polling === 400) && websocket === 400),
    `polling ${polling}, websocket ${websocket} for ${origin}`,
  );
  return polling === 200;
}

type Cors = NonNullable<ServerConfig["io"]>["cors"];

/** Forms of an `origin` policy that let in APP and nobody else. */
const forms: [name: string, origin: unknown][] = [
  ["a string", APP],
  ["an array", ["https://other.example", APP]],
  ["an array with a RegExp", [/^https:\/\/app\.example$/]],
  ["a RegExp", /^https:\/\/app\.example$/],
  [
    "a function",
    (
      origin: string | undefined,
      done: (error: Error | null, allow?: boolean) => void,
    ) => setTimeout(() => done(null, origin === APP), 1),
  ],
];

describe('origin "cors"', () => {
  for (const [name, origin] of forms) {
    it(`answers as ${name} of Socket.IO's cors.origin would`, async () => {
      const cors = { origin, credentials: true } as Cors;
      await using scene = await startScene({}, { io: { cors: cors! } });
      assert(await admits(scene, APP));
      for (const foreign of [FOREIGN, ...LOOKALIKES]) {
        assertEquals(await admits(scene, foreign), false, foreign);
      }
    });
  }

  it("asks a delegate function with the request", async () => {
    const cors = (
      req: { headers: Record<string, unknown>; url?: string },
      done: (error: Error | null, policy?: object) => void,
    ) => {
      const origin = req.headers["x-tenant"] === "a" ? APP : false;
      done(null, { origin, credentials: true });
    };
    await using scene = await startScene({}, {
      io: { cors: cors as unknown as NonNullable<Cors> },
    });
    assert(await admits(scene, APP, { "x-tenant": "a" }));
    assertEquals(await admits(scene, APP), false);
    assertEquals(await admits(scene, FOREIGN, { "x-tenant": "a" }), false);
  });

  it("takes true as everybody, false as nobody", async () => {
    for (const origin of [true, false]) {
      await using scene = await startScene({}, {
        io: { cors: { origin, credentials: true } },
      });
      assertEquals(await admits(scene, FOREIGN), origin);
    }
  });

  it("takes a policy whose function fails as a refusal", async () => {
    const origin = (_: unknown, done: (error: Error) => void) =>
      done(new Error("no"));
    await using scene = await startScene({}, {
      io: { cors: { origin, credentials: true } as NonNullable<Cors> },
    });
    assertEquals(await admits(scene, APP), false);
  });

  it("finds the policy that was given to attach() after the bridge", async () => {
    await using scene = await startScene({}, {
      io: { cors: { origin: APP, credentials: true } },
      attach: "after",
    });
    assert(await admits(scene, APP));
    assertEquals(await admits(scene, FOREIGN), false);
  });

  it("without a policy is the same origin: Koa's host, the scheme where it is known", async () => {
    await using scene = await startScene();
    const { host } = new URL(scene.url);
    assert(await admits(scene, scene.url));
    for (
      const origin of [
        FOREIGN,
        `${scene.url}0`,
        `${scene.url}.evil.example`,
        `https://${host}.evil.example`,
        `http://evil.example/?${scene.url}`,
        `http://${host}@evil.example`,
        "http://127.0.0.1",
        "null",
        "nonsense",
      ]
    ) {
      assertEquals(await admits(scene, origin), false, origin);
    }
  });

  it("without a policy believes Sec-Fetch-Site: same-origin, as behind a proxy that rewrites the host", async () => {
    await using scene = await startScene();
    const site = (value: string) => ({ "sec-fetch-site": value });
    assert(await admits(scene, APP, site("same-origin")));
    for (const value of ["cross-site", "same-site", "none"]) {
      assertEquals(await admits(scene, APP, site(value)), false, value);
    }
  });

  it("without a policy believes forwarded headers only with app.proxy", async () => {
    const forwarded = {
      "x-forwarded-host": "app.example",
      "x-forwarded-proto": "https",
    };
    for (const proxy of [true, false]) {
      await using scene = await startScene({}, {
        prepare: ({ app }) => void (app.proxy = proxy),
      });
      assertEquals(await admits(scene, APP, forwarded), proxy);
      assertEquals(await admits(scene, FOREIGN, forwarded), false);
    }
  });

  it("lets a client without an Origin pass: it is no browser", async () => {
    await using scene = await startScene();
    assert(await admits(scene, undefined));
  });
});

describe("origin as an option of its own", () => {
  const options: [name: string, origin: unknown][] = [
    ["string[]", [APP, "https://other.example"]],
    ["RegExp", /^https:\/\/app\.example$/],
    ["RegExp with the g flag", /^https:\/\/app\.example$/g],
    ["function", (origin: string) => origin === APP],
    ["async function", (origin: string) => Promise.resolve(origin === APP)],
  ];
  for (const [name, origin] of options) {
    it(`${name} decides, whatever cors says`, async () => {
      await using scene = await startScene(
        { origin } as TestOptions,
        { io: { cors: { origin: FOREIGN, credentials: true } } },
      );
      assert(await admits(scene, APP));
      assert(await admits(scene, APP));
      for (const foreign of [FOREIGN, ...LOOKALIKES]) {
        assertEquals(await admits(scene, foreign), false, foreign);
      }
      assert(await admits(scene, undefined));
    });
  }

  it("a function that throws refuses", async () => {
    for (
      const origin of [
        () => {
          throw new Error("broken");
        },
        () => Promise.reject(new Error("broken")),
      ]
    ) {
      await using scene = await startScene({ origin } as TestOptions);
      assertEquals(await admits(scene, APP), false);
    }
  });

  it('"same" keeps to the same origin although cors would allow more', async () => {
    await using scene = await startScene({ origin: "same" }, {
      io: { cors: { origin: APP, credentials: true } },
    });
    assert(await admits(scene, scene.url));
    assertEquals(await admits(scene, APP), false);
    assertEquals(await admits(scene, "null"), false);
  });

  it('"any" lets everybody in, with the session', async () => {
    await using scene = await startScene({ origin: "any" });
    const { browser, sessionId } = await scene.visit();
    for (const origin of [FOREIGN, "null", scene.url]) {
      assert(await admits(scene, origin));
      const { server } = await connectLine(scene, browser, "/", {
        headers: { origin },
      });
      assertEquals(server.sessionId, sessionId);
    }
  });
});

describe("the origin rule", () => {
  it("refuses before any session is read", async () => {
    const store = new FaultyAtomicStore();
    await using scene = await startScene({ store });
    const { browser } = await scene.visit();
    store.calls.length = 0;
    assertEquals((await browser.handshake({ origin: FOREIGN })).status, 403);
    assertEquals(await browser.upgrade({ origin: FOREIGN }), 400);
    assertEquals(store.calls, []);
    assertEquals((await browser.handshake({ origin: scene.url })).status, 200);
  });

  it("admits a foreign page under a wildcard without credentials, but without its session", async () => {
    for (const cors of [{ origin: "*" }, {}]) {
      await using scene = await startScene({}, { io: { cors } });
      const { browser, sessionId } = await scene.visit();
      for (const transports of [["websocket"], ["polling"]]) {
        const foreign = await connectLine(scene, browser, "/", {
          headers: { origin: FOREIGN },
          transports,
        });
        assertStrictEquals(foreign.server.sessionId, undefined);
        assertEquals(
          await codeOf(foreign.server.withSession(() => 1)),
          "SESSION_MISSING",
        );
      }
      const { server } = await connectLine(scene, browser);
      assertEquals(server.sessionId, sessionId);
    }
  });

  it("warns at the first refusal, once, naming the option", async () => {
    const warnings: string[] = [];
    const warn = console.warn;
    console.warn = (...args: unknown[]) => void warnings.push(args.join(" "));
    try {
      await using scene = await startScene();
      for (let i = 0; i < 2; i++) await admits(scene, FOREIGN);
      await until(() => warnings.length > 0, "a warning");
      assertEquals(warnings.length, 1, warnings.join("\n"));
      assertMatch(warnings[0]!, /\borigin\b/);
    } finally {
      console.warn = warn;
    }
  });
});
