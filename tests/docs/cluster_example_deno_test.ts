import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { browsersAt } from "../support/cluster/processes.ts";
import { freePort } from "../support/ports.ts";
import { say } from "../support/redis/commands.ts";
import { itNeedsRedis } from "../support/redis/server.ts";
import { once, settles, until } from "../support/wait.ts";

const MAIN = fileURLToPath(
  new URL("../../examples/cluster/main.ts", import.meta.url),
);

describe("deno task example:cluster", () => {
  itNeedsRedis(
    "serves one session from three processes, starts Redis, and ends without a trace",
    async () => {
      const cluster = await startCluster();
      const { child, port, redisPort, closed } = cluster;
      const nodes = [0, 1, 2].map((i) => ({
        url: `http://localhost:${port + i}`,
      }));
      const at = browsersAt(nodes);
      try {
        const said = cluster.reported();
        assertStringIncludes(said, "starting redis-server");
        assertEquals(said.match(/:\d+ {2}(Deno|Node)/g)?.length, 3, said);
        for (const [i, browser] of at.entries()) {
          const page = (await browser.get("/")).body;
          for (const { url } of nodes) assertStringIncludes(page, `${url}/`);
          assertStringIncludes(page, `${i + 1}: `);
        }
        assertEquals(
          (await at[0]!.post("/api/login", { json: { name: "Ada" } })).status,
          200,
        );
        const socket = await at[1]!.connect();
        assertEquals((await at[1]!.ask(socket, "me")).value.user, "Ada");
        assertEquals(
          (await at[2]!.post("/api/count/transaction")).json,
          { value: 1 },
        );
        await at[1]!.event(socket, "counter");
        assertEquals((await at[1]!.ask(socket, "count")).value, 2);
        const ended = once(socket, "session:end");
        assertEquals((await at[2]!.post("/api/logout")).status, 200);
        assertEquals(await ended, [{ reason: "logout" }]);
      } finally {
        for (const browser of at) await browser.close();
        process.kill(child.pid!, "SIGINT");
        await closed;
      }
      assertEquals(child.exitCode, 0);
      assertEquals(cluster.complained(), "");
      for (const { url } of nodes) {
        await fetch(url).then(() => assert(false, url), () => {});
      }
      const answer = settles(say(redisPort, "PING\r\n"), "PING", 1_000);
      assertEquals(await answer.catch(() => "gone"), "gone");
    },
  );
});

/** Starts the example, on other ports where the first ones are taken. */
async function startCluster() {
  for (let tries = 0;; tries++) {
    const [port, redisPort] = [await threePorts(), await freePort()];
    const child = spawn(process.execPath, ["run", "-A", MAIN], {
      env: {
        ...process.env,
        PORT: String(port),
        REDIS_PORT: String(redisPort),
      },
    });
    let [said, complained] = ["", ""];
    child.stdout.on("data", (text) => said += text);
    child.stderr.on("data", (text) => complained += text);
    const closed = once(child, "close", { timeout: 90_000 });
    const ended = () => child.exitCode !== null;
    await until(
      () => said.includes("Ctrl+C") || ended(),
      "the processes",
      60_000,
    );
    if (!ended()) {
      return {
        ...{ child, port, redisPort, closed },
        reported: () => said,
        // the messages of the first run of a new clone are no errors
        complained: () =>
          complained.replace(/^.*(Download|Check).*$/gm, "").trim(),
      };
    }
    await closed;
    if (tries === 3 || !complained.includes("EADDRINUSE")) {
      throw new Error(`Cannot start the example: ${complained}`);
    }
  }
}

/** The first of three free ports in a row. */
async function threePorts(): Promise<number> {
  for (let tries = 0; tries < 50; tries++) {
    const first = await freePort();
    const free = await Promise.all(
      [1, 2].map((i) =>
        settles(say(first + i, "\r\n"), "an answer", 300).then(
          () => false,
          ({ code }) => code === "ECONNREFUSED",
        )
      ),
    );
    if (first < 65_000 && free.every(Boolean)) return first;
  }
  throw new Error("Cannot find three free ports in a row");
}
