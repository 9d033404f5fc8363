/** What a handler leaves as its session: its toJSON and a schema make the names that are stored. */
import type { AtomicStore, BasicStore } from "@koa-io/session";
import { assertEquals, assertMatch } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { codeOf } from "../support/errors.ts";
import { startScenario } from "../support/scenario.ts";
import { onEachStore } from "../support/stores/each_store.ts";

/** A session that JSON writes as this value. */
const writtenAs = (value: unknown) => ({ n: 1, toJSON: () => value });

const REFUSED: Record<string, [session: object, message: RegExp]> = {
  "a reserved name": [writtenAs({ _private: 1 }), /keeps the name "_private"/],
  "a method's name": [writtenAs({ save: 1 }), /keeps the name "save"/],
  "maxAge": [writtenAs({ maxAge: 1 }), /keeps the name "maxAge"/],
  "a text": [writtenAs("text"), /toJSON says otherwise/],
  "an array": [writtenAs([1]), /toJSON says otherwise/],
  "null": [writtenAs(null), /toJSON says otherwise/],
  "nothing": [writtenAs(undefined), /toJSON says otherwise/],
};

/** A schema that renames what it finds. */
const renaming = (name: string) => ({
  "~standard": {
    version: 1 as const,
    vendor: "test",
    validate: (value: unknown) =>
      ({ value: (value as { bad?: boolean }).bad ? { [name]: 1 } : value }) as {
        value: Record<string, unknown>;
      },
  },
});

/** Stores what koa-session alone would have stored. */
async function storeAs(
  store: BasicStore | AtomicStore,
  sid: string,
  data: Record<string, unknown>,
): Promise<void> {
  if (!("scope" in store)) {
    const stored = (await store.get(sid))!;
    await store.set(sid, { ...stored, ...data }, 60_000);
    return;
  }
  const { version, ...record } = (await store.read(sid))!;
  const changed = { ...record, data: JSON.stringify(data) };
  await store.write(sid, changed, version);
}

onEachStore((kind) => {
  describe("a session whose toJSON makes", () => {
    for (const [name, [session, message]] of Object.entries(REFUSED)) {
      kind.it(`${name} is refused, and later writes pass`, async () => {
        const store = await kind.open();
        const { bridge, peek, visit } = await startScenario({ store });
        const { sessionId } = await visit();
        const outcome = await codeOf(
          bridge.withSession(sessionId, (view) => {
            view.session = session as never;
          }),
        );
        assertMatch(outcome ?? "", message);
        // in a call that joins too
        await bridge.withSession(sessionId, async () => {
          const joined = await codeOf(
            bridge.withSession(sessionId, (view) => {
              view.session = session as never;
            }),
          );
          assertMatch(joined ?? "", message);
        });
        assertEquals(await peek(sessionId), { n: 0 });
        await bridge.withSession(sessionId, ({ session }) => {
          session!.n = 2;
        });
        assertEquals(await peek(sessionId), { n: 2 });
      });
    }

    for (const value of [{ _private: 1 }, { save: 1 }, [1]]) {
      kind.it(
        `${JSON.stringify(value)} is refused over HTTP, and later writes pass`,
        async () => {
          const store = await kind.open();
          const scenario = await startScenario({ store });
          const { browser, sessionId } = await scenario.visit();
          scenario.route("/replace-by", (ctx) => {
            ctx.session = writtenAs(value) as never;
          });
          assertEquals((await browser.get("/replace-by")).status, 500);
          assertMatch(scenario.errors[0]!.message, /Cannot write the session/);
          assertEquals(await scenario.peek(sessionId), { n: 0 });
          await scenario.bridge.withSession(sessionId, ({ session }) => {
            session!.n = 2;
          });
          assertEquals(await scenario.peek(sessionId), { n: 2 });
        },
      );
    }

    kind.it("other data is stored as that", async () => {
      const store = await kind.open();
      const { bridge, peek, visit } = await startScenario({ store });
      const { sessionId } = await visit();
      await bridge.withSession(sessionId, (view) => {
        view.session = writtenAs({ name: "ada" }) as never;
      });
      assertEquals(await peek(sessionId), { name: "ada" });
    });
  });

  kind.it(
    "a name that koa-session has stored itself stays, and later writes pass",
    async () => {
      const store = await kind.open();
      const scenario = await startScenario({ store });
      const { bridge, peek } = scenario;
      const { sessionId } = await scenario.visit();
      await storeAs(store, sessionId, { n: 0, commit: "message" });
      await bridge.withSession(sessionId, async ({ session }) => {
        session!.n = 1;
        await bridge.withSession(sessionId, ({ session }) => {
          session!.user = "ada";
        });
      });
      const expected = { n: 1, user: "ada", commit: "message" };
      assertEquals(await peek(sessionId), expected);
      const adding = bridge.withSession(sessionId, ({ session }) => {
        session!.save = 1;
      });
      assertMatch(await codeOf(adding) ?? "", /keeps the name "save"/);
      assertEquals(await peek(sessionId), expected);
    },
  );

  for (const name of ["_private", "save", "commit", "manuallyCommit"]) {
    kind.it(
      `the name ${name} is refused over HTTP, before anything is stored`,
      async () => {
        const scenario = await startScenario({ store: await kind.open() });
        const { peek, route, errors } = scenario;
        const { browser, sessionId } = await scenario.visit();
        route("/set", (ctx) => {
          ctx.session!.n = 5;
          (ctx.session as unknown as Record<string, unknown>)[name] = "mine";
          ctx.body = "";
        });
        assertEquals((await browser.get("/set")).status, 500);
        assertMatch(String(errors.at(-1)), /keeps the name/);
        assertEquals(await peek(sessionId), { n: 0 });
      },
    );
  }

  for (const name of ["_private", "regenerate", "maxAge"]) {
    kind.it(
      `a schema that makes the name ${name} is refused, over HTTP and in a transaction`,
      async () => {
        const store = await kind.open();
        const scenario = await startScenario({ store, schema: renaming(name) });
        const { bridge, errors, peek } = scenario;
        const { browser, sessionId } = await scenario.visit();
        const outcome = await codeOf(
          bridge.withSession(sessionId, ({ session }) => {
            session!.bad = true;
          }),
        );
        assertMatch(outcome ?? "", /keeps the name/);
        const answer = await browser.post("/session", { json: { bad: true } });
        assertEquals(answer.status, 500);
        assertMatch(errors[0]!.message, /keeps the name/);
        assertEquals(await peek(sessionId), { n: 0 });
        await browser.post("/session", { json: { n: 2 } });
        assertEquals(await peek(sessionId), { n: 2 });
      },
    );
  }

  if (kind.name === "SQLite" || kind.name === "Redis") {
    kind.it(
      "the end of a session that a process has not seen is reported after a start",
      async () => {
        const [first, second] = [await kind.open(), await kind.open()];
        const here = await startScenario({ store: first });
        const there = await startScenario({ store: second });
        const events: unknown[] = [];
        there.bridge.on("sessionStart", ({ sessionId, cause }) => {
          events.push(["start", sessionId, cause]);
        });
        there.bridge.on("sessionEnd", ({ sessionId, reason }) => {
          events.push(["end", sessionId, reason]);
        });
        const { sessionId } = await here.visit();
        assertEquals(await there.bridge.destroy(sessionId), true);
        assertEquals(await there.bridge.destroy(sessionId), false);
        assertEquals(events, [
          ["start", sessionId, "rebuilt"],
          ["end", sessionId, "revoked"],
        ]);
        assertEquals(there.bridge.stats().sessions, 0);
      },
    );
  }
});
