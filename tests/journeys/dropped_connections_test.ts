/** Redis drops the connections of the messenger while messages are in progress. */
import { assertEquals } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { ADAPTERS } from "../support/cluster/messengers.ts";
import {
  browsersAt,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import { say } from "../support/redis/commands.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
  withRedisServer,
} from "../support/redis/server.ts";
import { once, pause, until, WAIT_LIMIT } from "../support/wait.ts";

/** Leaves what clients send unanswered for a moment, then drops their connections. */
const DROP = "DEBUG SLEEP 0.3\r\n" +
  "CLIENT KILL TYPE normal\r\nCLIENT KILL TYPE pubsub\r\n";

describe("A cluster whose messenger drops its connections", () => {
  let store: RedisServer;
  let messenger: RedisServer | undefined;
  withRedisServer((started) => store = started);
  afterEach(async () => {
    await stopNodes();
    await messenger?.stop();
  });

  for (const name of ADAPTERS) {
    itNeedsRedis(
      `${name}: lives on as sessions begin, change and end in that moment`,
      async () => {
        messenger = await startRedis("--enable-debug-command", "local");
        const nodes = await spawnNodes(2, {
          port: store.port,
          messengerPort: messenger.port,
          messenger: name,
          options: { reconcileInterval: 600 },
        });
        const visit = async (user: string) => {
          const [a, b] = browsersAt(nodes);
          await a!.post("/session", { json: { user, n: 0 } });
          await a!.get("/");
          return { a: a!, b: b!, client: await b!.connect() };
        };
        for (let round = 0; round < 3; round++) {
          const [ada, eve, bob] = await Promise.all(
            ["ada", "eve", "bob"].map(visit),
          );
          const dropping = say(messenger.port, DROP);
          await pause(100);
          const [guest] = browsersAt(nodes);
          const ended = [eve!.client, bob!.client].map((client) =>
            once(client, "session:end")
          );
          await Promise.all([
            guest!.post("/session", { json: { user: "new" } }),
            ada!.a.get("/regenerate"),
            ada!.b.get("/news?user=bob"),
            ada!.b.connect(),
            eve!.a.post("/logout"),
            bob!.a.get("/destroy?user=bob"),
          ]);
          await dropping;
          await Promise.all(ended);
          assertEquals((await ada!.a.get("/session")).json.session.user, "ada");
        }
        // messages reach the nodes again
        const { a, client } = await visit("eve");
        await until(
          async () => {
            await a.post("/news?user=eve");
            return once(client, "news", { timeout: 100 })
              .then(() => true, () => false);
          },
          "news",
          3 * WAIT_LIMIT,
        );
        for (const { lines, child } of nodes) {
          assertEquals(lines.filter(({ type }) => type === "unhandled"), []);
          assertEquals(child.exitCode, null);
        }
      },
    );
  }
});
