/**
 * What koa-session's own tests of external stores, context stores and external
 * keys hold, seen through the bridge. The client cookie is looked away from.
 */
import { inspect } from "node:util";
import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertNotEquals,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { native, type TestContext } from "../support/app.ts";
import type { Answer } from "../support/browser.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore, type Stored } from "../support/stores/fake_store.ts";
import { untilRenewed } from "../support/renewal.ts";
import { pause } from "../support/wait.ts";

/** The names of the cookies that koa-session itself set. */
function sessionCookies(answer: Answer): string[] {
  return answer.setCookies.map(({ name }) => name)
    .filter((name) => name === KEY || name === `${KEY}.sig`);
}

/** A store as a class, constructed for every context. */
function contextStore() {
  const store = fakeStore();
  return class {
    readonly ctx: unknown;
    constructor(ctx: unknown) {
      this.ctx = ctx;
    }
    get(sid: string) {
      return store.get(sid);
    }
    set(sid: string, session: Stored) {
      return store.set(sid, session);
    }
    destroy(sid: string) {
      return store.destroy(sid);
    }
  };
}

const kinds: Record<string, () => TestOptions> = {
  "the default store": () => ({}),
  "an external store": () => ({ store: fakeStore() }),
  "a ContextStore": () => ({ ContextStore: contextStore() as never }),
};

for (const [kind, options] of Object.entries(kinds)) {
  /** A server whose every request runs this handler, and a browser. */
  const serve = async (
    handler: (ctx: TestContext) => unknown,
    more: TestOptions = {},
  ) => {
    const { browser } = await startServer(
      { ...options(), ...more },
      ({ app }) => {
        app.use(async (ctx) => {
          ctx.body = "";
          await handler(ctx);
        });
      },
    );
    return browser();
  };

  /** `/set` begins a session, everything answers with it. */
  const setOrShow = (ctx: TestContext) => {
    if (ctx.path === "/set") ctx.session = { foo: "bar" };
    ctx.body = ctx.session;
  };

  describe(`ctx.session on ${kind}`, () => {
    afterEach(closeServers);

    it("keeps a value with a semicolon", async () => {
      const ada = await serve((ctx) => {
        if (ctx.method === "POST") ctx.session!.text = ";";
        else ctx.body = ctx.session!.text;
      });
      await ada.post("/");
      assertEquals((await ada.get("/")).body, ";");
    });

    it("sets no cookie when it is new and empty", async () => {
      for (
        const handler of [
          () => {},
          (ctx: TestContext) => void ctx.session,
          (ctx: TestContext) => ctx.session = {},
        ]
      ) {
        const ada = await serve(handler);
        assertEquals(sessionCookies(await ada.get("/")), []);
      }
    });

    it("sets a cookie when it is filled or assigned", async () => {
      for (
        const handler of [
          (ctx: TestContext) => ctx.session!.n = 1,
          (ctx: TestContext) => ctx.session = { n: 1 },
        ]
      ) {
        const ada = await serve(handler);
        assertEquals(sessionCookies(await ada.get("/")), [KEY, `${KEY}.sig`]);
      }
    });

    it("sets a cookie again when it is changed, and only then", async () => {
      const ada = await serve((ctx) => {
        if (ctx.path === "/set") ctx.session = { foo: "bar" };
        if (ctx.path === "/change") ctx.session!.money = "$$$";
        if (ctx.path === "/read") ctx.body = ctx.session!.foo;
      });
      await ada.get("/set");
      assertEquals(sessionCookies(await ada.get("/")), []);
      const read = await ada.get("/read");
      assertEquals(read.body, "bar");
      assertEquals(sessionCookies(read), []);
      assertEquals(sessionCookies(await ada.get("/change")).length, 2);
    });

    it("expires the cookie when it is null", async () => {
      const ada = await serve((ctx) => ctx.session = null);
      assert((await ada.get("/")).cookie(KEY)?.deletes);
    });

    it("refuses to be anything but an object", async () => {
      const ada = await serve((ctx) => ctx.session = "text" as never);
      assertEquals((await ada.get("/")).status, 500);
    });

    it("has its content in inspect, length and populated", async () => {
      const ada = await serve((ctx) => {
        ctx.session!.foo = "bar";
        const session = native(ctx);
        const shown = session as unknown as Record<symbol, () => unknown>;
        ctx.body = [
          shown[inspect.custom]!(),
          session.length,
          session.populated,
        ];
      });
      assertEquals((await ada.get("/")).json, [{ foo: "bar" }, 1, true]);
    });

    it("is stored by save() even when it is empty", async () => {
      const ada = await serve((ctx) => native(ctx).save());
      assertEquals(sessionCookies(await ada.get("/")).length, 2);
    });

    it("is stored when an error downstream is caught upstream", async () => {
      const { browser } = await startServer(options(), ({ app }) => {
        app.use((ctx) => {
          ctx.session!.name = "funny";
          ctx.throw(401);
        });
      }, {
        prepare: ({ app }) => {
          app.use(async (ctx, next) => {
            await next().catch((error) => {
              ctx.status = error.status;
              ctx.body = error.message;
            });
          });
        },
      });
      const answer = await browser().get("/");
      assertEquals(answer.status, 401);
      assertEquals(sessionCookies(answer).length, 2);
    });

    it('has a cookie without an end with maxAge: "session"', async () => {
      const ada = await serve((ctx) => {
        ctx.session!.n = (ctx.session!.n ?? 0) + 1;
        ctx.body = String(ctx.session!.n);
      }, { maxAge: "session" });
      for (const n of ["1", "2", "3"]) {
        const answer = await ada.get("/");
        assertEquals(answer.body, n);
        assertFalse("expires" in answer.cookie(KEY)!.attributes);
      }
    });

    it("ends after maxAge", async () => {
      const ada = await serve((ctx) => {
        if (ctx.method === "POST") ctx.session!.text = "hi";
        ctx.body = ctx.session!.text ?? "";
      }, { maxAge: 1_000 });
      await ada.post("/");
      const jar = ada.jar.clone();
      assertEquals((await ada.get("/", { jar })).body, "hi");
      await pause(1_100);
      assertEquals((await ada.get("/", { jar })).body, "");
    });

    it("has the option's maxAge, and can have its own", async () => {
      const shown = await serve((ctx) => ctx.body = native(ctx).maxAge, {
        maxAge: 4_321,
      });
      assertEquals((await shown.get("/")).body, "4321");
      for (
        const handler of [
          (ctx: TestContext) => {
            ctx.session!.foo = "bar";
            native(ctx).maxAge = 100;
          },
          (ctx: TestContext) => {
            native(ctx).maxAge = 100;
          },
          (ctx: TestContext) => {
            ctx.session = { maxAge: 100 };
          },
        ]
      ) {
        const ada = await serve(handler);
        const { attributes } = (await ada.get("/")).cookie(KEY)!;
        const life = Date.parse(attributes.expires!) - Date.now();
        assert(life < 1_000, `${life}`);
      }
    });

    it("has another id and the same content after regenerate()", async () => {
      const ada = await serve(async (ctx) => {
        if (ctx.path === "/set") ctx.session = { text: "hi" };
        if (ctx.path === "/regenerate") await native(ctx).regenerate();
        ctx.body = ctx.session!.text ?? "";
      });
      await ada.get("/set");
      const before = ada.jar.clone();
      const answer = await ada.get("/regenerate");
      assertEquals(answer.body, "hi");
      assertNotEquals(answer.cookie(KEY)?.value, before.get(KEY));
      assertEquals((await ada.get("/")).body, "hi");
      // without the client cookie: the bridge would lead it to the new id
      before.delete(CLIENT_KEY);
      assertEquals((await ada.get("/", { jar: before, keep: false })).body, "");
    });

    it("is new when the id is not in the store", async () => {
      const ada = await serve((ctx) => ctx.body = String(native(ctx).isNew), {
        signed: false,
      });
      ada.jar.set(KEY, "invalid-key");
      assertEquals((await ada.get("/")).body, "true");
    });

    it("is ignored when valid returns false, with beforeSave filling it", async () => {
      const ada = await serve((ctx) => {
        ctx.session!.text ??= `made for ${ctx.cookies.get("uid")}`;
        ctx.body = ctx.session;
      }, {
        valid: (ctx: unknown, data: unknown) =>
          (ctx as TestContext).cookies.get("uid") ===
            (data as { uid?: string }).uid,
        beforeSave: (ctx: unknown, session: unknown) => {
          const uid = (ctx as TestContext).cookies.get("uid");
          (session as { uid?: string }).uid = uid!;
        },
      });
      ada.jar.set("uid", "123");
      const made = { text: "made for 123", uid: "123" };
      await ada.get("/");
      assertEquals((await ada.get("/")).json, made);
      ada.jar.set("uid", "456");
      assertEquals((await ada.get("/")).json.text, "made for 456");
    });

    it("can be mocked on app.context", async () => {
      const { browser, app } = await startServer(options(), ({ app }) => {
        app.use((ctx) => {
          ctx.body = ctx.session;
        });
      });
      Object.defineProperty(app.context, "session", { value: { foo: "bar" } });
      assertEquals((await browser().get("/")).json, { foo: "bar" });
    });

    it("has a cookie on every answer with rolling", async () => {
      const ada = await serve(setOrShow, { rolling: true });
      assertEquals(sessionCookies(await ada.get("/")), []);
      assertEquals(sessionCookies(await ada.get("/set")).length, 2);
      const answer = await ada.get("/");
      assertEquals(answer.json, { foo: "bar" });
      assertEquals(sessionCookies(answer).length, 2);
    });

    it("begins its id with prefix", async () => {
      const ada = await serve(setOrShow, { prefix: "sess:" });
      assertMatch((await ada.get("/set")).cookie(KEY)!.value, /^sess:/);
      assertEquals((await ada.get("/")).json, { foo: "bar" });
    });

    it("has a new cookie with renew near its end, not before", async () => {
      const maxAge = 800;
      const ada = await serve(setOrShow, { renew: true, maxAge });
      assertEquals(sessionCookies(await ada.get("/")), []);
      await untilRenewed({
        store: () => ada.get("/set"),
        read: () => ada.get("/"),
        maxAge,
        check: ({ json }) => assertEquals(json, { foo: "bar" }),
      });
    });

    it("read before the bridge's middleware is empty and forgotten", async () => {
      const { browser } = await startServer(
        options(),
        ({ app }) => {
          app.use(setOrShow);
        },
        {
          prepare: ({ app }) => {
            app.use(async (ctx, next) => {
              ctx.session!.foo = "123";
              await next();
            });
          },
        },
      );
      const ada = browser();
      assertEquals((await ada.get("/")).json, {});
      assertEquals((await ada.get("/set")).json, { foo: "bar" });
      assertEquals((await ada.get("/")).json, { foo: "bar" });
    });

    it("sets headers with autoCommit: false only for manuallyCommit()", async () => {
      const ada = await serve(async (ctx) => {
        ctx.session!.text = "hi";
        if (ctx.path === "/commit") await native(ctx).manuallyCommit();
      }, { autoCommit: false });
      assertEquals(sessionCookies(await ada.get("/")), []);
      assertEquals(sessionCookies(await ada.get("/commit")).length, 2);
    });
  });
}
