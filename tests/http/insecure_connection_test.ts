import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { warningsOf } from "../support/console.ts";
import {
  CLIENT_KEY,
  KEY,
  signCookie,
  SIGNING_KEY,
} from "../support/cookies.ts";
import { cacheControl, serve } from "../support/handler.ts";
import { closeServers } from "../support/server.ts";

describe("secure: true on a connection that is not secure", () => {
  afterEach(closeServers);

  it("leaves the client cookie out, and warns once", async () => {
    for (const clientAlwaysRoll of [true, false]) {
      const { browser, errors } = await serve(() => {}, {
        secure: true,
        clientAlwaysRoll,
      });
      const ada = browser();
      const warnings = await warningsOf(async () => {
        for (let i = 0; i < 2; i++) {
          const answer = await ada.get("/");
          assertEquals([answer.status, answer.setCookies.length], [200, 0]);
          assertEquals(cacheControl(answer), undefined);
        }
      });
      assertEquals(warnings.length, 1);
      assertMatch(warnings[0]!, /app\.proxy/);
      assertEquals(errors, []);
    }
  });

  it("fails at a session cookie, as koa-session does", async () => {
    const { browser, errors } = await serve((ctx) => ctx.session!.n = 1, {
      secure: true,
    });
    await warningsOf(async () => {
      assertEquals((await browser().get("/")).status, 500);
    });
    assertMatch(errors[0]!.message, /secure cookie/);
  });

  it("reads the cookies that came over TLS", async () => {
    const { browser } = await serve(
      (ctx) => {
        if (ctx.path === "/login") ctx.session!.user = "ada";
        ctx.body = ctx.session;
      },
      { secure: true },
      { prepare: ({ app }) => void (app.proxy = true) },
    );
    const ada = browser();
    const headers = { "x-forwarded-proto": "https" };
    const login = await ada.get("/login", { headers });
    for (const name of [KEY, CLIENT_KEY]) {
      assert("secure" in login.cookie(name)!.attributes);
    }
    const cookies = [KEY, CLIENT_KEY].map((name) => {
      const { value } = login.cookie(name)!;
      const signature = signCookie(name, value, SIGNING_KEY);
      return `${name}=${value}; ${name}.sig=${signature}`;
    });
    const cookie = cookies.join("; ");
    await warningsOf(async () => {
      const answer = await ada.get("/", { headers: { cookie } });
      assertEquals(answer.json, { user: "ada" });
    });
  });
});
