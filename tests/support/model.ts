/**
 * Both halves of the model test: the operations on a bridge over real ports, and the model that computes their expected result.
 */
import { isDeepStrictEqual } from "node:util";
import type { SessionEnd, SessionStart } from "@koa-io/session";
import type { TestContext, TestSession } from "./app.ts";
import type { Browser } from "./browser.ts";
import { KEY } from "./cookies.ts";
import { increment } from "./routes.ts";
import {
  connectPair,
  type Scenario,
  type SocketPair,
  startScenario,
} from "./scenario.ts";
import { collect } from "./wait.ts";

/** Operations on a session that may all go out at once. */
export const SHARED = [
  "add over http",
  "add over a socket",
  "add over the bridge",
  "put a",
  "put b",
  "delete a",
  "replace c",
  "fail",
] as const;

/** Operations that move a client; at most one in a step. */
export const MOVING = [
  "login",
  "log out over http",
  "log out over a socket",
  "destroy",
  "expire",
  "regenerate",
  "disconnect",
  "connect",
] as const;

/** One operation of a client. */
export type Operation = typeof SHARED[number] | typeof MOVING[number];

/**
 * Whether an operation may go out together with one that moves the client. A disconnect loses the acknowledgements of its socket, and a plain request that loaded the session before its lifetime was shortened restores the old one.
 */
export function agrees(shared: Operation, moving: Operation): boolean {
  if (moving === "disconnect") return shared !== "add over a socket";
  return moving !== "expire" || shared === "add over a socket" ||
    shared === "add over the bridge";
}

const ENDS: readonly Operation[] = [
  "log out over http",
  "log out over a socket",
  "destroy",
  "expire",
];

/** How long a session lives once "expire" has shortened its life, in ms. */
const SHORT_LIFE = 30;

/** The server of the model test, with a route for every operation over HTTP. */
export async function startModel(): Promise<Scenario> {
  const scenario = await startScenario({
    user: (session) => session.user,
    touchInterval: 10,
    // a session without sockets is missed when the store clears it away
    autoCleanupMs: 100,
  });
  const existing = (path: string, act: (ctx: TestContext) => unknown) =>
    scenario.route(path, (ctx) => ctx.session!.isNew ? "guest" : act(ctx));
  existing("/add", (ctx) => ctx.withSession(increment, "guest"));
  existing("/put-a", (ctx) => void (ctx.session!.a = Number(ctx.query.value)));
  existing("/put-b", (ctx) => void (ctx.session!.b = Number(ctx.query.value)));
  existing("/delete-a", (ctx) => void delete ctx.session!.a);
  existing("/replace-c", (ctx) => {
    const { c: _, ...rest } = ctx.session!.toJSON() as TestSession;
    ctx.session = { ...rest, c: [Number(ctx.query.value)] } as never;
  });
  existing("/fail", async (ctx) => {
    await ctx.withSession(({ session }) => {
      session!.n = -1;
      session!.a = -1;
      throw new Error("on purpose");
    }, undefined).catch(() => {});
  });
  existing("/end", (ctx) => void (ctx.session = null));
  existing("/regenerate", (ctx) => ctx.regenerateSession());
  existing("/expire", (ctx) => void (ctx.session!.maxAge = SHORT_LIFE));
  scenario.route("/login", (ctx) => {
    ctx.session!.n ??= 0;
    return ctx.session!.isNew ? "begun" : "kept";
  });
  scenario.bridge.setMaxListeners(0);
  return scenario;
}

/** A client, the events of its sessions, and its state in the model. */
export class Client {
  /** The session as the model has it; `null`: there is none. */
  expected: TestSession | null = null;
  /** Ids that must never live again. */
  readonly dead: Set<string> = new Set();
  #id: string | undefined;
  #values = 0;
  readonly #lines: SocketPair[] = [];
  readonly #browser: Browser;
  readonly #scenario: Scenario;
  readonly #starts: [SessionStart][];
  readonly #ends: [SessionEnd][];

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#browser = scenario.browser();
    this.#starts = collect(scenario.bridge, "sessionStart");
    this.#ends = collect(scenario.bridge, "sessionEnd");
  }

  /** Sends all operations at once, waits for all, and compares. */
  async step(operations: readonly Operation[]): Promise<void> {
    const session = this.expected;
    const value = ++this.#values;
    const ended = operations.some((name) => ENDS.includes(name));
    const results = await Promise.all(
      operations.map((name, i) => this.#act(name, value * 100 + i)),
    );
    if (session && ended) this.expected = null;
    if (operations.includes("login")) this.expected ??= { n: 0 };
    const moved = operations.includes("regenerate");
    const found = await this.#settled(session !== null && (ended || moved));
    if (!session || !this.expected) return this.#same(found, this.expected);

    const added = results.filter((result) => result === "added").length;
    const wanted: TestSession = { ...session, n: session.n! + added };
    for (const key of ["a", "b", "c"] as const) {
      const candidates = this.#candidates(
        key,
        operations.map((name, i) => results[i] === "guest" ? undefined : name),
        value,
        session,
      );
      if (!candidates.some((one) => isDeepStrictEqual(one, found?.[key]))) {
        this.#fail(key, found, candidates);
      }
      if (found?.[key] === undefined) delete wanted[key];
      else wanted[key] = found[key];
    }
    this.#same(found, wanted);
    this.expected = wanted;
  }

  /** Closes what is open and checks that every session had one end for its start. */
  async finish(): Promise<void> {
    if (this.expected) await this.step(["destroy"]);
    await this.#browser.close();
    const own = new Set(this.dead);
    for (const id of own) {
      const starts = this.#starts.filter(([one]) => one.sessionId === id);
      const ends = this.#ends.filter(([one]) => one.sessionId === id);
      if (starts.length !== 1 || ends.length !== 1) {
        this.#fail("events", [starts, ends], "one start and one end");
      }
    }
  }

  /** The values that a key may have after writes of unknown order; a guest wrote nothing. */
  #candidates(
    key: string,
    operations: readonly (Operation | undefined)[],
    value: number,
    session: TestSession,
  ): unknown[] {
    const written = operations.flatMap((name, i): unknown[] => {
      const mine = value * 100 + i;
      if (name === `put ${key}`) return [mine];
      if (name === `replace ${key}`) return [[mine]];
      return name === `delete ${key}` ? [undefined] : [];
    });
    return written.length > 0 ? written : [session[key]];
  }

  async #act(name: Operation, value: number): Promise<string> {
    switch (name) {
      case "add over a socket": {
        const line = this.#lines.at(-1);
        if (!line) return "no socket";
        const result = await this.#browser.ask(line.client, "add");
        return typeof result === "number" ? "added" : this.#ended(result.code);
      }
      case "add over the bridge":
        if (!this.#id) return "guest";
        return await this.#scenario.bridge.withSession(this.#id, increment)
          .then(
            () => "added",
            (error) => this.#ended(error.code),
          );
      case "add over http": {
        const { status, body } = await this.#browser.post("/add");
        if (status === 401) return "ended";
        return status === 200 && body !== "guest" ? "added" : body;
      }
      case "log out over a socket": {
        const line = this.#lines.at(-1);
        if (!line) return await this.#send("/end");
        const result = await this.#browser.ask(line.client, "destroy");
        return result === true ? "out" : this.#ended(result.code);
      }
      case "destroy":
        return String(
          this.#id && await this.#scenario.bridge.destroy(this.#id),
        );
      case "connect":
        if (this.#lines.length < 3) {
          this.#lines.push(await connectPair(this.#scenario, this.#browser));
        }
        return "connected";
      case "disconnect":
        return await this.#disconnect();
      case "expire": {
        if (!this.#id) return "guest";
        const id = this.#id;
        await this.#send("/expire");
        const { reason } = await this.#scenario.ended(id);
        if (reason !== "expired") this.#fail("reason", reason, "expired");
        return "expired";
      }
      case "log out over http":
        return await this.#send("/end");
      default:
        return await this.#send(`/${name.replace(" ", "-")}?value=${value}`);
    }
  }

  async #send(path: string): Promise<string> {
    const { status, body } = await this.#browser.post(path);
    if (status >= 400) throw new Error(`${path} answered ${status}: ${body}`);
    return body;
  }

  /** A socket increments the counter in its disconnect handler, while the session is alive. */
  async #disconnect(): Promise<string> {
    const line = this.#lines.pop();
    if (!line) return "no socket";
    const counted = new Promise<string>((resolve) => {
      line.server.on("disconnect", () => {
        line.server.withSession(increment).then(
          () => resolve("added"),
          (error) => resolve(this.#ended(error.code)),
        );
      });
    });
    line.client.disconnect();
    return await counted;
  }

  #ended(code: unknown): string {
    if (code === "SESSION_MISSING" || code === "SESSION_ENDED") return "ended";
    throw new Error(`Cannot go on: ${String(code)}`);
  }

  /** Reads the client's session over HTTP; bridge, sockets and cookies must agree on it. */
  async #settled(gone: boolean): Promise<TestSession | null> {
    const { bridge } = this.#scenario;
    if (gone) this.dead.add(this.#id!);
    const jar = this.#browser.jar;
    const { json } = await this.#browser.get("/");
    const { sessionId } = json;
    if (gone && sessionId === this.#id) this.#fail("id", sessionId, "another");
    this.#id = sessionId;
    const ids = new Set([
      sessionId,
      await bridge.sessionIdOf(json.clientId) ?? undefined,
      ...this.#lines.map(({ server }) => server.sessionId),
    ]);
    if (ids.size !== 1) this.#fail("ids", [...ids], sessionId);
    if (sessionId && jar.get(KEY) !== sessionId) {
      this.#fail("cookie", jar.get(KEY), sessionId);
    }
    for (const id of this.dead) {
      if (await bridge.peek(id)) this.#fail("resurrection", id, undefined);
    }
    return sessionId ? await this.#scenario.peek(sessionId) ?? null : null;
  }

  #same(found: TestSession | null, expected: TestSession | null): void {
    if (!isDeepStrictEqual(found, expected)) {
      this.#fail("session", found, expected);
    }
  }

  #fail(what: string, found: unknown, expected: unknown): never {
    throw new Error(
      `Cannot agree on ${what}: found ${JSON.stringify(found)}, expected ${
        JSON.stringify(expected)
      }`,
    );
  }
}
