import { describe, it } from "@std/testing/bdd";
import {
  assert,
  assertEquals,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { codeOf } from "../support/errors.ts";
import {
  connectPair,
  type Scenario,
  startScenario,
} from "../support/scenario.ts";
import type { ServerConfig, TestOptions } from "../support/server.ts";
import { FaultyAtomicStore } from "../support/stores/faulty_stores.ts";
import { until } from "../support/wait.ts";

const APP = "https://app.example";
const FOREIGN = "https://evil.example";

/** Matches the allowed origin if compared by substring. */
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
  scenario: Scenario,
  origin: string | undefined,
  headers: Record<string, string> = {},
): Promise<boolean> {
  const browser = scenario.browser();
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

/** Forms of an `origin` policy that allow APP and no other origin. */
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
      await using scenario = await startScenario({}, { io: { cors: cors! } });
      assert(await admits(scenario, APP));
      for (const foreign of [FOREIGN, ...LOOKALIKES]) {
        assertEquals(await admits(scenario, foreign), false, foreign);
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
    await using scenario = await startScenario({}, {
      io: { cors: cors as unknown as NonNullable<Cors> },
    });
    assert(await admits(scenario, APP, { "x-tenant": "a" }));
    assertEquals(await admits(scenario, APP), false);
    assertEquals(await admits(scenario, FOREIGN, { "x-tenant": "a" }), false);
  });

  it("reads true as every origin, false as none", async () => {
    for (const origin of [true, false]) {
      await using scenario = await startScenario({}, {
        io: { cors: { origin, credentials: true } },
      });
      assertEquals(await admits(scenario, FOREIGN), origin);
    }
  });

  it("refuses when the function of the policy fails", async () => {
    const origin = (_: unknown, done: (error: Error) => void) =>
      done(new Error("no"));
    await using scenario = await startScenario({}, {
      io: { cors: { origin, credentials: true } as NonNullable<Cors> },
    });
    assertEquals(await admits(scenario, APP), false);
  });

  it("finds the policy that was given to attach() after the bridge", async () => {
    await using scenario = await startScenario({}, {
      io: { cors: { origin: APP, credentials: true } },
      attach: "after",
    });
    assert(await admits(scenario, APP));
    assertEquals(await admits(scenario, FOREIGN), false);
  });

  it("without a policy is the same origin: Koa's host, the scheme where it is known", async () => {
    await using scenario = await startScenario();
    const { host } = new URL(scenario.url);
    assert(await admits(scenario, scenario.url));
    for (
      const origin of [
        FOREIGN,
        `${scenario.url}0`,
        `${scenario.url}.evil.example`,
        `https://${host}.evil.example`,
        `http://evil.example/?${scenario.url}`,
        `http://${host}@evil.example`,
        "http://127.0.0.1",
        "null",
        "nonsense",
      ]
    ) {
      assertEquals(await admits(scenario, origin), false, origin);
    }
  });

  it("without a policy accepts Sec-Fetch-Site: same-origin, as behind a proxy that rewrites the host", async () => {
    await using scenario = await startScenario();
    const site = (value: string) => ({ "sec-fetch-site": value });
    assert(await admits(scenario, APP, site("same-origin")));
    for (const value of ["cross-site", "same-site", "none"]) {
      assertEquals(await admits(scenario, APP, site(value)), false, value);
    }
  });

  it("without a policy accepts forwarded headers only with app.proxy", async () => {
    const forwarded = {
      "x-forwarded-host": "app.example",
      "x-forwarded-proto": "https",
    };
    for (const proxy of [true, false]) {
      await using scenario = await startScenario({}, {
        prepare: ({ app }) => void (app.proxy = proxy),
      });
      assertEquals(await admits(scenario, APP, forwarded), proxy);
      assertEquals(await admits(scenario, FOREIGN, forwarded), false);
    }
  });

  it("accepts a client without an Origin: it is no browser", async () => {
    await using scenario = await startScenario();
    assert(await admits(scenario, undefined));
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
    it(`${name} decides, independent of cors`, async () => {
      await using scenario = await startScenario(
        { origin } as TestOptions,
        { io: { cors: { origin: FOREIGN, credentials: true } } },
      );
      assert(await admits(scenario, APP));
      assert(await admits(scenario, APP));
      for (const foreign of [FOREIGN, ...LOOKALIKES]) {
        assertEquals(await admits(scenario, foreign), false, foreign);
      }
      assert(await admits(scenario, undefined));
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
      await using scenario = await startScenario({ origin } as TestOptions);
      assertEquals(await admits(scenario, APP), false);
    }
  });

  it('"same" keeps to the same origin although cors would allow more', async () => {
    await using scenario = await startScenario({ origin: "same" }, {
      io: { cors: { origin: APP, credentials: true } },
    });
    assert(await admits(scenario, scenario.url));
    assertEquals(await admits(scenario, APP), false);
    assertEquals(await admits(scenario, "null"), false);
  });

  it('"any" accepts every origin, with the session', async () => {
    await using scenario = await startScenario({ origin: "any" });
    const { browser, sessionId } = await scenario.visit();
    for (const origin of [FOREIGN, "null", scenario.url]) {
      assert(await admits(scenario, origin));
      const { server } = await connectPair(scenario, browser, "/", {
        headers: { origin },
      });
      assertEquals(server.sessionId, sessionId);
    }
  });
});

describe("the origin rule", () => {
  it("refuses before any session is read", async () => {
    const store = new FaultyAtomicStore();
    await using scenario = await startScenario({ store });
    const { browser } = await scenario.visit();
    store.calls.length = 0;
    assertEquals((await browser.handshake({ origin: FOREIGN })).status, 403);
    assertEquals(await browser.upgrade({ origin: FOREIGN }), 400);
    assertEquals(store.calls, []);
    assertEquals(
      (await browser.handshake({ origin: scenario.url })).status,
      200,
    );
  });

  it("admits a foreign page under a wildcard without credentials, but without its session", async () => {
    for (const cors of [{ origin: "*" }, {}]) {
      await using scenario = await startScenario({}, { io: { cors } });
      const { browser, sessionId } = await scenario.visit();
      for (const transports of [["websocket"], ["polling"]]) {
        const foreign = await connectPair(scenario, browser, "/", {
          headers: { origin: FOREIGN },
          transports,
        });
        assertStrictEquals(foreign.server.sessionId, undefined);
        assertEquals(
          await codeOf(foreign.server.withSession(() => 1)),
          "SESSION_MISSING",
        );
      }
      const { server } = await connectPair(scenario, browser);
      assertEquals(server.sessionId, sessionId);
    }
  });

  it("warns at the first refusal, once, naming the option", async () => {
    const warnings: string[] = [];
    const warn = console.warn;
    console.warn = (...args: unknown[]) => void warnings.push(args.join(" "));
    try {
      await using scenario = await startScenario();
      for (let i = 0; i < 2; i++) await admits(scenario, FOREIGN);
      await until(() => warnings.length > 0, "a warning");
      assertEquals(warnings.length, 1, warnings.join("\n"));
      assertMatch(warnings[0]!, /\borigin\b/);
    } finally {
      console.warn = warn;
    }
  });
});
