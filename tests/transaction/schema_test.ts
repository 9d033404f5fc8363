import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { type } from "arktype";
import * as v from "valibot";
import { z } from "zod";
import {
  SessionInvalidError,
  type SessionSchema,
  type SessionStore,
} from "@koa-io/session";
import type { TestSession } from "../support/app.ts";
import {
  type ConnectedScenario,
  connectedScenario,
} from "../support/connected_scenario.ts";
import { KEY } from "../support/cookies.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { collect, once } from "../support/wait.ts";

type Schema = SessionSchema<TestSession>;

/** `n` is a number, 0 where it is missing; `user` is a text if it is there. */
const validators: Record<string, SessionSchema> = {
  zod: z.object({ n: z.number().default(0), user: z.string().optional() }),
  "an asynchronous zod": z.object({
    n: z.number().default(0).refine((n) => Promise.resolve(n > -1)),
    user: z.string().optional(),
  }),
  valibot: v.object({
    n: v.optional(v.number(), 0),
    user: v.optional(v.string()),
  }),
  arktype: type({ n: "number = 0", "user?": "string" }),
};

/** Puts something into the store that the bridge did not see. */
function corrupt(
  { bridge, sessionId }: ConnectedScenario,
  session: object,
): void {
  (bridge.store as SessionStore).set(sessionId, session as TestSession);
}

const bad = { n: "many" } as unknown as TestSession;

for (const [name, validator] of Object.entries(validators)) {
  const schema = validator as Schema;
  describe(`the option schema with ${name}`, () => {
    afterEach(closeServers);
    const stage = (options: TestOptions = {}) =>
      connectedScenario({ n: 1 }, { schema, ...options });

    it("accepts valid data, from HTTP and sockets", async () => {
      const { ada, client, bridge, sessionId } = await stage();
      await ada.post("/session", { json: { user: "ada" } });
      assertEquals(await ada.ask(client, "add"), 2);
      assertEquals(await bridge.peek(sessionId), { n: 2, user: "ada" });
    });

    it("refuses a bad write of a socket, which changes nothing", async () => {
      const { socket, bridge, sessionId } = await stage();
      const error = await assertRejects(
        () => socket.withSession(({ session }) => Object.assign(session, bad)),
        SessionInvalidError,
        "Cannot write the session as the option schema refuses n",
      );
      assertEquals([error.code, error.status], ["SESSION_INVALID", 422]);
      assertEquals(error.issues.map(({ path }) => path), [["n"]]);
      assert(error.issues.every(({ message }) => message.length > 0));
      assertEquals(await bridge.peek(sessionId), { n: 1 });
    });

    it("answers 422 to a request that writes badly or begins so", async () => {
      const { ada, browser, bridge, sessionId, errors } = await stage();
      const answer = await ada.post("/session", { json: bad });
      assertEquals(answer.status, 422);
      assertEquals(await bridge.peek(sessionId), { n: 1 });
      const eve = browser();
      assertEquals((await eve.post("/session", { json: bad })).status, 422);
      assertEquals(eve.jar.get(KEY), undefined);
      assertEquals(bridge.stats().sessions, 1);
      for (const error of errors) assertInstanceOf(error, SessionInvalidError);
    });

    it("transforms stored data, for every reader", async () => {
      const it = await stage({
        user: ({ user }) => user,
        onUserChange: "keep",
      });
      await it.ada.post("/session", { json: { user: "ada" } });
      corrupt(it, { user: "ada", n: undefined });
      const { ada, client, bridge, sessionId } = it;
      const whole = { n: 0, user: "ada" };
      assertEquals(await bridge.peek(sessionId), whole);
      assertEquals((await ada.get("/session")).json.session, whole);
      assertEquals(await ada.ask(client, "get"), whole);
      assertEquals(await ada.ask(client, "add"), 1);
    });

    it("writes nothing where nothing was changed", async () => {
      const store = fakeStore();
      const { ada, client, sessionId } = await stage({
        store,
        touchInterval: false,
      });
      const kept = { ...store.peek(sessionId)! };
      delete kept.n;
      store.kept.set(sessionId, JSON.stringify(kept));
      const sets = () => store.calls.filter(([call]) => call === "set").length;
      const before = sets();
      assertEquals((await ada.get("/session")).json.session, { n: 0 });
      assertEquals(await ada.ask(client, "get"), { n: 0 });
      assertEquals(sets(), before);
    });

    it("throws at bad stored data by default", async () => {
      const it = await stage();
      corrupt(it, bad);
      const { ada, socket, bridge, sessionId } = it;
      const loads = [
        () => bridge.peek(sessionId),
        () => bridge.withSession(sessionId, () => {}),
        () => socket.withSession(() => {}, "missing"),
      ];
      for (const load of loads) {
        await assertRejects(load, SessionInvalidError, "Cannot load");
      }
      assertEquals((await ada.get("/session")).status, 422);
      const refused = await assertRejects(() => ada.connect());
      const { data, message } = refused as Error & { data?: unknown };
      assertEquals(data, { code: "SESSION_INVALID" });
      assertStringIncludes(message, "schema");
      // it can still be ended
      assertEquals(await bridge.destroy(sessionId), true);
      assertEquals((await ada.get("/session")).status, 200);
    });

    it("ends what is bad where onInvalid is end", async () => {
      const reads: ((it: ConnectedScenario) => Promise<unknown>)[] = [
        ({ bridge, sessionId }) => bridge.peek(sessionId),
        ({ socket }) => socket.withSession(() => "found", undefined),
        async ({ ada }) => (await ada.get("/")).json.sessionId,
        async ({ ada }) => {
          const late = await ada.connect();
          return (await ada.ask(late, "whoami")).sessionId ?? undefined;
        },
      ];
      for (const read of reads) {
        const it = await stage({ onInvalid: "end" });
        const ends = collect<[{ reason: string }]>(it.bridge, "sessionEnd");
        const ended = once(it.client, "session:end");
        corrupt(it, bad);
        assertEquals(await read(it), undefined);
        assertEquals(await ended, [{ reason: "revoked" }]);
        assertEquals(ends.map(([{ reason }]) => reason), ["revoked"]);
        assertEquals((it.bridge.store as SessionStore).size, 0);
      }
    });
  });
}

describe("the option schema", () => {
  afterEach(closeServers);
  const schema = validators.zod as Schema;

  it("is applied at a regenerate", async () => {
    const { browser, bridge } = await startServer({ schema }, ({ app }) => {
      app.use(async (ctx) => {
        Object.assign(ctx.session!, JSON.parse(ctx.query.json!));
        if (ctx.path === "/rotate") await ctx.regenerateSession();
        ctx.body = {};
      });
    });
    const ada = browser();
    await ada.get(`/?json={"n":1}`);
    const sid = ada.jar.get(KEY)!;
    assertEquals((await ada.get(`/rotate?json={"n":"x"}`)).status, 422);
    assertEquals(await bridge.peek(sid), { n: 1 });
    assertEquals((await ada.get(`/rotate?json={"n":3,"x":1}`)).status, 200);
    assertEquals(await bridge.peek(sid), undefined);
    assertEquals(await bridge.peek(ada.jar.get(KEY)!), { n: 3 });
  });

  it("drops unknown keys", async () => {
    const { ada, bridge, sessionId } = await connectedScenario({ n: 1 }, {
      schema,
    });
    await ada.post("/session", { json: { extra: 1, n: 2 } });
    assertEquals(await bridge.peek(sessionId), { n: 2 });
  });

  it("checks what two writers made together", async () => {
    const both = z.object({
      n: z.number().optional(),
      user: z.string().optional(),
    }).refine(({ n, user }) => n === undefined || user === undefined);
    const { ada, bridge, sessionId, socket } = await connectedScenario({}, {
      schema: both as unknown as Schema,
    });
    assertEquals([sessionId, socket.sessionId], [undefined, undefined]);
    await ada.post("/session", { json: { n: 1 } });
    const id = ada.jar.get(KEY)!;
    assertEquals(
      (await ada.post("/session", { json: { user: "ada" } })).status,
      422,
    );
    assertEquals(await bridge.peek(id), { n: 1 });
  });

  it("refuses a validator that makes no object of it", async () => {
    const odd: Schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => ({ value: [] as unknown as TestSession }),
      },
    };
    const { ada, errors } = await connectedScenario(null, { schema: odd });
    assertEquals((await ada.post("/session", { json: { n: 1 } })).status, 500);
    assertInstanceOf(errors[0], TypeError);
  });

  it("that throws leaves the session free for the next one", async () => {
    let broken = false;
    const fragile: Schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate(value) {
          if (broken) throw new Error("broken");
          return { value: value as TestSession };
        },
      },
    };
    const { bridge, sessionId } = await connectedScenario({ n: 1 }, {
      schema: fragile,
    });
    broken = true;
    const add = () =>
      bridge.withSession(sessionId, ({ session }) => ++session.n!);
    await assertRejects(add, Error, "broken");
    broken = false;
    assertEquals(await add(), 2);
    await assertRejects(
      () =>
        bridge.withSession(sessionId, ({ session }) => {
          broken = true;
          session.n = 5;
        }),
      Error,
      "broken",
    );
    broken = false;
    assertEquals(await add(), 3);
  });
});
