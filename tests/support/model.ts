/** The model of the model test: it computes what operations on a bridge over real ports must lead to. */
import { isDeepStrictEqual } from "node:util";
import type { SessionEnd, SessionStart } from "@koa-io/session";
import type { TestSession } from "./app.ts";
import type { Browser } from "./browser.ts";
import { KEY } from "./cookies.ts";
import { nextUser, type Operation } from "./model_server.ts";
import { increment } from "./routes.ts";
import { connectPair, type Scenario, type SocketPair } from "./scenario.ts";
import { collect, until } from "./wait.ts";

const ENDS: readonly Operation[] = [
  "log out over http",
  "log out over a socket",
  "destroy",
  "expire",
];

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
  readonly #withUser: boolean;
  readonly #starts: [SessionStart][];
  readonly #ends: [SessionEnd][];

  /** @param withUser whether the bridge has the option `user` */
  constructor(scenario: Scenario, withUser: boolean) {
    this.#scenario = scenario;
    this.#withUser = withUser;
    this.#browser = scenario.browser();
    this.#starts = collect(scenario.bridge, "sessionStart");
    this.#ends = collect(scenario.bridge, "sessionEnd");
  }

  /** Sends all operations at once, waits for all, and compares. */
  async step(operations: readonly Operation[]): Promise<void> {
    const session = this.expected;
    const value = ++this.#values;
    const ended = operations.some((name) => ENDS.includes(name));
    const closes = operations.some((name) => this.#closes(name, session));
    const results = await Promise.all(
      operations.map((name, i) => this.#act(name, value * 100 + i, closes)),
    );
    if (session && ended) this.expected = null;
    if (operations.includes("login")) {
      this.expected = this.#loggedIn(this.expected);
    }
    const moved = operations.includes("regenerate") || closes;
    const gone = session !== null && (ended || moved);
    const found = await this.#settled(gone, closes);
    if (!session || !this.expected) return this.#same(found, this.expected);

    const counted = (result: string) =>
      results.filter((one) => one === result).length;
    const least = session.n! + counted("added");
    const n = found?.n ?? NaN;
    if (!(n >= least && n <= least + counted("unknown"))) {
      this.#fail("n", found, least);
    }
    const wanted: TestSession = {
      ...this.#withUserOf(operations, this.expected),
      n,
    };
    for (const key of ["a", "b", "c"] as const) {
      const candidates = this.#candidates(
        key,
        operations.map((name, i) => results[i] === "guest" ? undefined : name),
        value,
        session,
      );
      // a request that has not followed its session has written nothing
      if (closes) candidates.push(session[key]);
      if (!candidates.some((one) => isDeepStrictEqual(one, found?.[key]))) {
        this.#fail(key, found, candidates);
      }
      if (found?.[key] === undefined) delete wanted[key];
      else wanted[key] = found[key];
    }
    this.#same(found, wanted);
    this.expected = wanted;
  }

  /** The session after a login. */
  #loggedIn(session: TestSession | null): TestSession {
    const next = { n: 0, ...session };
    return this.#withUser ? { user: "ada", ...next } : next;
  }

  /** The session with the user that it has after these operations. */
  #withUserOf(
    operations: readonly Operation[],
    session: TestSession,
  ): TestSession {
    if (operations.some((name) => name.startsWith("switch"))) {
      return { ...session, user: nextUser(session) };
    }
    if (!operations.includes("forget over http")) return session;
    const { user: _, ...rest } = session;
    return rest;
  }

  /** Whether an operation gives the client new ids and closes its connections. */
  #closes(name: Operation, session: TestSession | null): boolean {
    switch (name) {
      case "reconnect":
      case "switch over http":
        return session !== null;
      case "login":
        return this.#withUser && session?.user === undefined;
      case "log out over http":
      case "forget over http":
        return this.#withUser && session?.user !== undefined;
      default:
        return false;
    }
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

  /** @param closes whether connections are closed while it runs: a socket's result may be lost */
  async #act(
    name: Operation,
    value: number,
    closes: boolean,
  ): Promise<string> {
    switch (name) {
      case "add over a socket": {
        const line = this.#lines.at(-1);
        if (!line) return "no socket";
        const result = await this.#browser.ask(line.client, "add")
          .catch((error) => {
            if (closes && !line.client.connected) return "lost";
            throw error;
          });
        if (result === "lost") return "unknown";
        return typeof result === "number" ? "added" : this.#ended(result.code);
      }
      case "add over the bridge":
        if (!this.#id) return "guest";
        return await this.#scenario.bridge.withSession(this.#id, increment)
          .then(
            () => "added",
            (error) => this.#ended(error.code),
          );
      case "switch over the bridge":
        if (!this.#id) return "guest";
        await this.#scenario.bridge.withSession(this.#id, ({ session }) => {
          session!.user = nextUser(session!);
        });
        return "switched";
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
        return await this.#send(`/${name.replaceAll(" ", "-")}?value=${value}`);
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
  async #settled(
    gone: boolean,
    closes: boolean,
  ): Promise<TestSession | null> {
    const { bridge } = this.#scenario;
    if (gone) this.dead.add(this.#id!);
    const jar = this.#browser.jar;
    const { json } = await this.#browser.get("/");
    await this.#reconnected(closes);
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

  /** Connects again what was closed at the transport: all sockets, or none. */
  async #reconnected(closes: boolean): Promise<void> {
    const closed = () => this.#lines.filter(({ client }) => !client.connected);
    if (!closes) {
      if (closed().length > 0) this.#fail("connections", "closed", "open");
      return;
    }
    await until(
      () => closed().length === this.#lines.length,
      "the client's connections closed",
    );
    for (const i of this.#lines.keys()) {
      this.#lines[i] = await connectPair(this.#scenario, this.#browser);
    }
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
