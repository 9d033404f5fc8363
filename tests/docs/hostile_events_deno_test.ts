/** No client ends a documented server: events without an acknowledgement, with other arguments, during a logout, and with a frozen store. */
import { assert, assertEquals, assertFalse } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import { readdirSync, readFileSync } from "node:fs";
import { Browser } from "../support/browser.ts";
import { blocksOf, documentsIn, filesOf } from "../support/docs/markdown.ts";
import {
  type Program,
  startProgram,
  stopPrograms,
} from "../support/docs/program.ts";
import { itNeedsRedis, startRedis } from "../support/redis/server.ts";
import { until } from "../support/wait.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);
/** What listens for events of a client, in the texts of programs. */
const LISTENERS = /\bsocket\.on(?:Session)?\(\s*"(\w[\w:]*)"/g;
const RESERVED = ["connect", "connect_error", "disconnect"];
const GARBAGE: readonly unknown[][] = [
  [],
  [null],
  [{ length: -1 }, [[]], "text"],
  [{ __proto__: null, then: 1 }, 1e308],
];
/** Those need a server of their own, and are tested on it. */
const ELSEWHERE = /redis|postgres|opentelemetry|many-machines|client\.ts/;

interface Documented {
  readonly name: string;
  readonly files: Record<string, string>;
  readonly entry: string;
}

function documented(): Documented[] {
  const found: Documented[] = readdirSync(EXAMPLES)
    .filter((name) => name.endsWith(".ts"))
    .map((name) => {
      const text = readFileSync(new URL(name, EXAMPLES), "utf8");
      return { name: `examples/${name}`, files: { [name]: text }, entry: name };
    });
  for (const path of ["README.md", ...documentsIn("docs")]) {
    const files = filesOf(blocksOf(path));
    for (const entry of Object.keys(files)) {
      if (!files[entry]!.includes(".listen(")) continue;
      found.push({ name: `${path}, ${entry}`, files, entry });
    }
  }
  return found.filter(({ name }) => !ELSEWHERE.test(name));
}

function eventsOf({ files, entry }: Documented): string[] {
  return [...files[entry]!.matchAll(LISTENERS)].map(([, event]) => event!)
    .filter((event) => !RESERVED.includes(event));
}

/** Logs in by each way that a documented server has. */
async function logIn(browser: Browser): Promise<void> {
  await browser.get("/");
  await browser.post("/login?name=ada", { json: { user: "ada" } });
  await browser.post("/?name=ada");
}

async function attack(program: Program, events: string[]): Promise<void> {
  const browser = new Browser(program.url);
  try {
    await logIn(browser);
    const socket = await browser.connect();
    const fire = () => {
      for (const event of events) {
        for (const args of GARBAGE) socket.emit(event, ...args);
      }
    };
    fire();
    const leaving = Promise.all(
      ["/logout", "/leave"].map((path) => browser.get(path)),
    );
    fire();
    await leaving;
    await browser.post("/logout");
    fire();
    assert((await browser.get("/")).status < 600);
  } finally {
    await browser.close();
  }
}

describe("a documented server lives on, whatever a client sends", () => {
  afterEach(stopPrograms);

  for (const server of documented()) {
    const events = eventsOf(server);
    if (events.length === 0) continue;
    it(server.name, async () => {
      const program = await startProgram(server.files, server.entry);
      await attack(program, events);
      await attack(program, events);
      assertFalse(
        /Uncaught|unhandled/i.test(program.output()),
        program.output(),
      );
    });
  }

  itNeedsRedis("docs/many-machines.md, with a frozen Redis too", async () => {
    const redis = await startRedis();
    try {
      const files = filesOf(blocksOf("docs/many-machines.md"));
      const program = await startProgram(files, "server.ts", {
        REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      });
      await attack(program, ["count"]);
      const browser = new Browser(program.url);
      await browser.get("/");
      const socket = await browser.connect();
      redis.signal("SIGSTOP");
      const answers: unknown[] = [];
      for (let i = 0; i < 3; i++) {
        socket.emit("count");
        socket.emit("count", (answer: unknown) => answers.push(answer));
      }
      // after storeTimeout
      await until(() => answers.length === 3, "the answers", 15_000);
      for (const answer of answers) {
        assert(["SESSION_STORE", "SESSION_TIMEOUT"].includes(
          (answer as { error: string }).error,
        ));
      }
      redis.signal("SIGCONT");
      await until(
        async () => typeof await browser.ask(socket, "count") === "number",
        "the counter",
        15_000,
      );
      assertEquals((await browser.get("/")).status, 200);
      await browser.close();
    } finally {
      redis.signal("SIGCONT");
      await stopPrograms();
      await redis.stop();
    }
  });
});
