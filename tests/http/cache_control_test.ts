import { assert, assertEquals, assertFalse, assertMatch } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { warningsOf } from "../support/console.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import {
  cacheControl,
  CLIENT_LINES,
  cookieNames,
  serve,
} from "../support/handler.ts";
import { closeServers, type TestOptions } from "../support/server.ts";

const inAnHour = () => new Date(Date.now() + 3_600_000).toUTCString();
const anHourAgo = () => new Date(Date.now() - 3_600_000).toUTCString();

/** Answers for shared caches, as header fields. */
const SHARED: readonly Record<string, string>[] = [
  { "cache-control": "public" },
  { "cache-control": "public, max-age=31536000, immutable" },
  { "cache-control": "max-age=1" },
  { "cache-control": "Max-Age = 0060" },
  { "cache-control": 'max-age="60"' },
  { "cache-control": "no-cache, s-maxage=0" },
  { "cache-control": "S-MaxAge=60, max-age=0" },
  { "cache-control": "public;max-age=60" },
  { "cache-control": 'private="x-name", max-age=60' },
  { "cache-control": 'max-age=60, ext="a, private"' },
  { "cache-control": "max-age=60, no-store, must-understand" },
  { expires: inAnHour() },
  { "cache-control": "must-revalidate", expires: inAnHour() },
  { "cache-control": "private", "cdn-cache-control": "max-age=60" },
  { "surrogate-control": "max-age=60" },
];

/** Other answers, and the `Cache-Control` that they have with an id cookie. */
const NOT_SHARED: readonly [Record<string, string>, string][] = [
  [{}, "private"],
  [{ "cache-control": "" }, "private"],
  [{ "cache-control": "max-age=0" }, "max-age=0, private"],
  [{ "cache-control": "no-cache" }, "no-cache, private"],
  [{ "cache-control": "private" }, "private"],
  [
    { "cache-control": "max-age=60, Private, x=1" },
    "max-age=60, Private, x=1",
  ],
  [{ "cache-control": "no-store" }, "no-store"],
  [{ "cache-control": "private", expires: inAnHour() }, "private"],
  [{ expires: anHourAgo() }, "private"],
  [{ expires: "0" }, "private"],
  [{ expires: "-1" }, "private"],
];

describe("the client cookie and caches", () => {
  afterEach(closeServers);

  for (const fields of SHARED) {
    it(`is left out of ${JSON.stringify(fields)}`, async () => {
      const { browser } = await serve((ctx) => {
        for (const [name, value] of Object.entries(fields)) {
          ctx.set(name, value);
        }
      });
      const ada = browser();
      for (let i = 0; i < 2; i++) {
        const answer = await ada.get("/");
        assertEquals(answer.setCookies, []);
        for (const [name, value] of Object.entries(fields)) {
          assertEquals(answer.headers[name], value);
        }
      }
    });
  }

  for (const [fields, expected] of NOT_SHARED) {
    it(`makes ${JSON.stringify(fields)} private`, async () => {
      const { browser } = await serve((ctx) => {
        for (const [name, value] of Object.entries(fields)) {
          ctx.set(name, value);
        }
      });
      const answer = await browser().get("/");
      assertEquals(cookieNames(answer), CLIENT_LINES);
      assertEquals(cacheControl(answer), expected);
    });
  }

  it("leaves answers without it as they are, with clientAlwaysRoll: false", async () => {
    const { browser } = await serve(() => {}, { clientAlwaysRoll: false });
    const ada = browser();
    assertEquals(cacheControl(await ada.get("/")), "private");
    assertEquals(cacheControl(await ada.get("/")), undefined);
  });

  it("is sent by the first answer that may have it, if one may not", async () => {
    const { browser } = await serve((ctx) => {
      if (ctx.path === "/file") ctx.set("cache-control", "max-age=60");
    }, { clientAlwaysRoll: false });
    const ada = browser();
    assertEquals((await ada.get("/file")).setCookies, []);
    assertEquals(cookieNames(await ada.get("/")), CLIENT_LINES);
    assertEquals((await ada.get("/")).setCookies, []);
  });

  it("is left out where the application copied it into a public answer", async () => {
    const { browser } = await serve((ctx) => {
      ctx.set("cache-control", "public");
      ctx.cookies.set(CLIENT_KEY, "an-id", { signed: true });
      ctx.cookies.set("theme", "dark");
    });
    const answer = await browser().get("/");
    assertEquals(cookieNames(answer), ["theme"]);
    assertEquals(cacheControl(answer), "public");
  });

  it("keeps out of a 304 that an outer middleware makes", async () => {
    const { browser } = await serve(() => {}, {}, {
      prepare: ({ app }) => {
        app.use(async (ctx, next) => {
          await next();
          if (ctx.get("if-none-match")) ctx.status = 304;
        });
      },
    });
    const ada = browser();
    assertEquals(cookieNames(await ada.get("/")), CLIENT_LINES);
    const headers = { "if-none-match": "*" };
    const answer = await ada.get("/", { headers });
    assertEquals([answer.status, cookieNames(answer)], [304, []]);
  });

  it("keeps out of an answer that an outer middleware makes public", async () => {
    const { browser } = await serve(() => {}, {}, {
      prepare: ({ app }) => {
        app.use(async (ctx, next) => {
          await next();
          ctx.set("cache-control", "public, max-age=60");
        });
      },
    });
    const answer = await browser().get("/");
    assertEquals(answer.setCookies, []);
    assertEquals(cacheControl(answer), "public, max-age=60");
  });

  it("is in an answer of an error, which is private", async () => {
    const { browser } = await serve((ctx) => ctx.throw(418));
    const answer = await browser().get("/");
    assertEquals(answer.status, 418);
    assertEquals(cookieNames(answer), CLIENT_LINES);
    assertEquals(cacheControl(answer), "private");
  });
});

describe("the session cookie and caches", () => {
  afterEach(closeServers);

  const begin = (fields: Record<string, string>, options?: TestOptions) =>
    serve((ctx) => {
      if (ctx.path === "/logout") ctx.session = null;
      else ctx.session!.n = 1;
      for (const [name, value] of Object.entries(fields)) ctx.set(name, value);
    }, options);

  for (
    const [fields, expected] of [
      [{ "cache-control": "public, max-age=60" }, "max-age=60, private"],
      [{ "cache-control": "public" }, "private"],
      [{ "cache-control": "Public;max-age=60" }, "private"],
      [
        { "cache-control": 'no-cache="a, public", s-maxage=60, x=1' },
        'no-cache="a, public", x=1, private',
      ],
      [{ "cache-control": "max-age=60" }, "max-age=60, private"],
      [{ expires: inAnHour() }, "private"],
    ] as const
  ) {
    it(`takes ${JSON.stringify(fields)} from shared caches`, async () => {
      const { browser } = await begin(fields);
      const warnings = await warningsOf(async () => {
        const ada = browser();
        for (const path of ["/", "/logout"]) {
          const answer = await ada.get(path);
          assertEquals(cacheControl(answer), expected);
          assert(answer.cookie(KEY));
          assert(answer.cookie(CLIENT_KEY));
        }
      });
      assertEquals(warnings.length, 1);
      assertMatch(warnings[0]!, /session cookie .*private is added/);
    });
  }

  it("takes fields for single caches out of use", async () => {
    const { browser } = await begin({
      "cache-control": "private",
      "cdn-cache-control": "max-age=60",
    });
    await warningsOf(async () => {
      const answer = await browser().get("/");
      assert(answer.cookie(KEY));
      assertEquals(cacheControl(answer), "private");
      assertEquals(answer.headers["cdn-cache-control"], "no-store");
    });
  });

  it("makes an answer private, with a 304 too", async () => {
    const { browser } = await serve((ctx) => {
      ctx.session!.n = 1;
      ctx.status = 304;
    });
    const answer = await browser().get("/");
    assertEquals(cookieNames(answer), [KEY, `${KEY}.sig`]);
    assertEquals(cacheControl(answer), "private");
  });

  it("makes an answer private where the application copied it", async () => {
    const { browser } = await serve((ctx) => {
      ctx.cookies.set(KEY, "an-id", { signed: false });
    }, { clientAlwaysRoll: false });
    const ada = browser();
    await ada.get("/");
    assertEquals(cacheControl(await ada.get("/")), "private");
  });

  it("is the cookie of that name, not of one that begins with it", async () => {
    const { browser } = await serve((ctx) => {
      ctx.cookies.set(`${KEY}2`, "1", { signed: false });
      ctx.set("cache-control", "public");
    });
    const answer = await browser().get("/");
    assertEquals(cookieNames(answer), [`${KEY}2`]);
    assertEquals(cacheControl(answer), "public");
  });

  it("counts wherever externalKey puts the id", async () => {
    const { browser } = await begin({ "cache-control": "public, max-age=60" }, {
      externalKey: {
        get: (ctx) => ctx.get("x-session"),
        set: (ctx, id) => void ctx.res.setHeader("x-session", id),
      },
    });
    await warningsOf(async () => {
      const answer = await browser().get("/");
      assert(answer.headers["x-session"]);
      assertEquals(cacheControl(answer), "max-age=60, private");
      assertFalse(cookieNames(answer).includes(KEY));
    });
  });
});
