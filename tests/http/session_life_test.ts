/** The life of a session and its cookie, by `ctx.session.maxAge`: part of what a request commits. */
import { assertEquals, assertLess } from "@std/assert";
import { describe } from "@std/testing/bdd";
import type { SessionConflict } from "@koa-io/session";
import { native } from "../support/app.ts";
import type { Answer } from "../support/browser.ts";
import { KEY } from "../support/cookies.ts";
import { startScenario } from "../support/scenario.ts";
import type { TestOptions } from "../support/server.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { deferred } from "../support/wait.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MONTH = 30 * 24 * HOUR;

type Life = number | "session";

/** What the older request does. */
const OLDER: Record<string, TestOptions & { readonly changes?: boolean }> = {
  "an older request that changes data": { changes: true },
  "an older request with rolling": { rolling: true },
  "an older request with rolling that changes data": {
    rolling: true,
    changes: true,
  },
};

onEachStore((kind) => {
  const scene = async (options: TestOptions = {}) => {
    const store = await kind.open();
    const scenario = await startScenario({ store, maxAge: HOUR, ...options });
    const conflicts: SessionConflict[] = [];
    scenario.bridge.on("sessionConflict", (event) => conflicts.push(event));
    const [begun, go] = [deferred(), deferred()];
    let slowly: (session: ReturnType<typeof native>) => void = () => {};
    scenario.route("/slow", async (ctx) => {
      slowly(native(ctx));
      begun.resolve();
      await go.promise;
    });
    scenario.route("/set", (ctx) => {
      native(ctx).maxAge = JSON.parse(ctx.query.life!);
    });
    scenario.route("/life", (ctx) => ({ life: native(ctx).maxAge }));
    const { browser, sessionId } = await scenario.visit();
    return {
      ...scenario,
      browser,
      conflicts,
      sessionId,
      /** Runs `act` while an older request is at work, which does this. */
      async during(
        older: typeof slowly,
        act: () => Promise<unknown>,
      ): Promise<Answer> {
        slowly = older;
        const slow = browser.get("/slow");
        await begun.promise;
        await act();
        go.resolve();
        return await slow;
      },
      set: (life: Life) =>
        browser.get(`/set?life=${encodeURIComponent(JSON.stringify(life))}`),
      life: async () => (await browser.get("/life")).json.life,
    };
  };

  /** How long the session cookie of a response lives, in ms; `undefined` without one, or without an end. */
  const cookieLife = (answer: Answer) => {
    const expires = answer.cookie(KEY)?.attributes.expires;
    return expires ? Date.parse(String(expires)) - Date.now() : undefined;
  };

  describe("ctx.session.maxAge", () => {
    for (const [name, { changes, ...options }] of Object.entries(OLDER)) {
      for (const life of [MONTH, MINUTE]) {
        kind.it(`is not undone by ${name}: ${life} ms`, async () => {
          const { conflicts, during, peek, sessionId, set, ...stand } =
            await scene(options);
          const slow = await during(
            (session) => changes && (session.seen = true),
            () => set(life),
          );
          assertEquals(slow.status, 200);
          const sent = cookieLife(slow);
          if (sent !== undefined) assertLess(Math.abs(sent - life), 5_000);
          assertEquals(await stand.life(), life);
          assertEquals(conflicts, []);
          assertEquals(
            await peek(sessionId),
            { n: 0, ...changes && { seen: true } },
          );
        });
      }

      kind.it(`is not undone by ${name}: "session"`, async () => {
        const { conflicts, during, set, ...stand } = await scene(options);
        const slow = await during(
          (session) => changes && (session.seen = true),
          () => set("session"),
        );
        assertEquals(cookieLife(slow), undefined);
        assertEquals(await stand.life(), "session");
        assertEquals(conflicts, []);
      });

      kind.it(`is not undone by ${name}: a month after "session"`, async () => {
        const { conflicts, during, set, ...stand } = await scene({
          ...options,
          maxAge: "session",
        });
        const slow = await during(
          (session) => changes && (session.seen = true),
          () => set(MONTH),
        );
        const sent = cookieLife(slow);
        if (sent !== undefined) assertLess(Math.abs(sent - MONTH), 5_000);
        assertEquals(await stand.life(), MONTH);
        assertEquals(conflicts, []);
      });
    }

    kind.it("is no conflict where both requests set the same", async () => {
      const { conflicts, during, life, set } = await scene();
      const slow = await during(
        (session) => session.maxAge = MONTH,
        () => set(MONTH),
      );
      assertEquals(slow.status, 200);
      assertEquals(await life(), MONTH);
      assertEquals(conflicts, []);
    });

    kind.it(
      "of two requests is a conflict, in which the last one prevails",
      async () => {
        const { conflicts, during, life, sessionId, set } = await scene();
        const slow = await during(
          (session) => session.maxAge = MINUTE,
          () => set(MONTH),
        );
        assertLess(Math.abs(cookieLife(slow)! - MINUTE), 5_000);
        assertEquals(await life(), MINUTE);
        assertEquals(conflicts, [
          { sessionId, keys: ["maxAge"], resolution: "last" },
        ]);
      },
    );

    kind.it('of two requests is a 409 with onConflict: "reject"', async () => {
      const { conflicts, during, life, peek, sessionId, set } = await scene({
        onConflict: "reject",
      });
      const slow = await during(
        (session) => {
          session.maxAge = MINUTE;
          session.seen = true;
        },
        () => set(MONTH),
      );
      assertEquals(slow.status, 409);
      assertEquals(slow.cookie(KEY), undefined);
      assertEquals(await life(), MONTH);
      assertEquals(await peek(sessionId), { n: 0 });
      assertEquals(conflicts, [
        { sessionId, keys: ["maxAge"], resolution: "reject" },
      ]);
    });

    for (const mine of [true, false]) {
      kind.it(
        `of two requests is decided by onConflict: ${mine ? "mine" : "theirs"}`,
        async () => {
          const asked: unknown[] = [];
          const { conflicts, during, life, sessionId, set } = await scene({
            onConflict: (conflict) => {
              asked.push(conflict);
              return mine ? conflict.mine : conflict.theirs;
            },
          });
          const slow = await during(
            (session) => session.maxAge = MINUTE,
            () => set("session"),
          );
          assertEquals(await life(), mine ? MINUTE : "session");
          if (!mine) assertEquals(cookieLife(slow), undefined);
          assertEquals(asked, [
            { key: "maxAge", base: HOUR, mine: MINUTE, theirs: "session" },
          ]);
          assertEquals(conflicts, [
            { sessionId, keys: ["maxAge"], resolution: "custom" },
          ]);
        },
      );
    }

    kind.it("is kept by transactions and by a new id", async () => {
      const { bridge, browser, life, route, sessionId, set } = await scene();
      await set(MONTH);
      await bridge.withSession(sessionId, ({ session }) => {
        session!.n = 1;
      });
      assertEquals(await life(), MONTH);
      route("/regenerate", (ctx) => ctx.regenerateSession());
      const answer = await browser.get("/regenerate");
      assertLess(Math.abs(cookieLife(answer)! - MONTH), 5_000);
      assertEquals(await life(), MONTH);
    });
  });
});
