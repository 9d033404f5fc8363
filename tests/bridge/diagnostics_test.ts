import { assert, assertEquals, assertGreaterOrEqual } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import process from "node:process";
import type { SessionTrace } from "@koa-io/session";
import {
  type ConnectedScenario,
  connectedScenario,
} from "../support/connected_scenario.ts";
import { runProgram } from "../support/docs/program.ts";
import { routesAndEvents } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";
import { pause } from "../support/wait.ts";

const KINDS = ["transaction", "load", "commit", "handshake", "end"] as const;
const STEPS = ["start", "asyncEnd", "error"] as const;

/** What was published, in order. */
interface Published {
  readonly name: string;
  readonly step: typeof STEPS[number];
  readonly trace: SessionTrace;
  /** As it was then. */
  readonly text: string;
}

const leave: (() => void)[] = [];

/** Watches all channels until the test is over. */
function watch(): Published[] {
  const published: Published[] = [];
  for (const name of KINDS) {
    for (const step of STEPS) {
      const channel = `tracing:koa-io-session:${name}:${step}`;
      const listener = (message: unknown) => {
        const trace = message as SessionTrace;
        published.push({ name, step, trace, text: JSON.stringify(trace) });
      };
      subscribe(channel, listener);
      leave.push(() => unsubscribe(channel, listener));
    }
  }
  return published;
}

/** The outcomes of the messages of one kind. */
function outcomes(published: Published[], kind: typeof KINDS[number]) {
  return published
    .filter(({ name, step }) => name === kind && step === "asyncEnd")
    .map(({ trace }) => trace.outcome);
}

describe("the tracing channels", () => {
  afterEach(async () => {
    for (const undo of leave.splice(0)) undo();
    await closeServers();
  });

  it("publish the start and the end of a transaction", async () => {
    const { ada, client } = await connectedScenario();
    const published = watch();
    await ada.ask(client, "add");
    const [start, end] = published.filter(({ name }) => name === "transaction");
    assertEquals([start!.step, end!.step], ["start", "asyncEnd"]);
    assert(start!.trace === end!.trace);
    const { session, wait, duration, ...rest } = end!.trace;
    assertEquals(rest, { source: "socket", outcome: "written" });
    assertEquals(session?.length, 22);
    assertGreaterOrEqual(wait, 0);
    assertGreaterOrEqual(duration, wait);
  });

  it("publish how long a transaction waited, and its outcome", async () => {
    const { ada, client, bridge, socket, sessionId } =
      await connectedScenario();
    const published = watch();
    const slow = bridge.withSession(sessionId, () => pause(30));
    await ada.ask(client, "get");
    await slow;
    await socket.withSession(async ({ session }) => {
      session.n = 7;
      await socket.withSession(() => {});
    });
    await bridge.withSession("nobody", () => {}, "missing");
    await socket.withSession(() => Promise.reject(new RangeError("no")))
      .catch(() => {});
    await ada.ask(client, "destroy");
    assertEquals(outcomes(published, "transaction"), [
      "unchanged",
      "unchanged",
      "joined",
      "written",
      "missing",
      "RangeError",
      "destroyed",
    ]);
    const waits = published.filter(({ step }) => step === "asyncEnd")
      .map(({ trace }) => trace.wait);
    assertGreaterOrEqual(Math.max(...waits), 15);
    assertEquals(
      published.filter(({ step }) => step === "error")
        .map(({ name, trace }) => [name, trace.source]),
      [["transaction", "socket"]],
    );
  });

  it("publish requests, handshakes and ends", async () => {
    const { browser, bridge } = await startServer({}, routesAndEvents);
    const published = watch();
    const ada = browser();
    const guest = await ada.connect();
    await ada.post("/session", { json: { n: 1 } });
    await ada.post("/session", { json: { n: 2 } });
    await ada.get("/session");
    await ada.connect();
    await ada.post("/logout");
    await bridge.destroy("nobody");
    guest.disconnect();
    assertEquals(outcomes(published, "commit"), ["created", "written"]);
    assertEquals(outcomes(published, "handshake"), ["guest", "session"]);
    assertEquals(outcomes(published, "end"), ["logout", "missing"]);
    assertEquals(new Set(outcomes(published, "load")), new Set(["found"]));
    const sources = published.filter(({ name }) => name === "load")
      .map(({ trace }) => trace.source);
    assertEquals(new Set(sources), new Set(["http", "socket"]));
    const ends = published.filter(({ name }) => name === "end");
    assertEquals(ends.at(0)?.trace.source, "http");
    assertEquals(ends.at(-1)?.trace.source, "bridge");
  });

  it("publish the store's error by its code", async () => {
    const store = fakeStore();
    const { bridge, sessionId } = await connectedScenario({ n: 1 }, { store });
    const published = watch();
    store.fault = "reject";
    await bridge.peek(sessionId).catch(() => {});
    assertEquals(outcomes(published, "load"), ["SESSION_STORE"]);
  });

  it("never publish ids or data", async () => {
    const published = watch();
    const { ada, client, bridge, sessionId } = await connectedScenario({
      user: "a secret",
    });
    const { clientId } = (await ada.get("/")).json;
    await ada.ask(client, "merge", { user: "another secret" });
    await bridge.destroy(sessionId);
    const all = published.map(({ text }) => text).join();
    assert(published.length > 10);
    for (const secret of [sessionId, clientId, "secret"]) {
      assert(!all.includes(secret), secret);
    }
  });

  const same: Record<string, TestOptions> = {
    "the default store": {},
    "a custom store": { store: fakeStore() },
  };
  for (const [kind, options] of Object.entries(same)) {
    it(`change nothing about what happens on ${kind}`, async () => {
      const act = async ({ ada, client }: ConnectedScenario) => [
        await ada.ask(client, "add"),
        (await ada.get("/session")).json.session,
        await ada.ask(client, "destroy"),
        await ada.ask(client, "get"),
      ];
      const unwatched = await act(await connectedScenario({ n: 1 }, options));
      watch();
      assertEquals(
        await act(await connectedScenario({ n: 1 }, options)),
        unwatched,
      );
    });
  }
});

// Deno's and Bun's debuglog are silent
if (!process.versions.deno && !process.versions.bun) {
  describe("NODE_DEBUG=koa-io-session", () => {
    it("prints a line for each, without ids", async () => {
      const program = `
        import Koa from "koa";
        import { Server } from "socket.io";
        import { bridgeSession } from "@koa-io/session";
        const bridge = bridgeSession(new Koa(), new Server(), { appKeys: ["a"], key: "sid" });
        await bridge.peek("an-id");
        await bridge.close();
      `;
      const env = { NODE_DEBUG: "koa-io-session" };
      const output = await runProgram({ "main.js": program }, "main.js", env);
      assert(
        /KOA-IO-SESSION \d+: load \S{22} from bridge: missing/.test(output),
        output,
      );
      assert(!output.includes("an-id"), output);
    });
  });
}
