import { assertEquals, assertLess } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { MESSENGERS } from "../support/cluster/messengers.ts";
import {
  browsersAt,
  spawnNodes,
  stopNodes,
} from "../support/cluster/processes.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
  withRedisServer,
} from "../support/redis/server.ts";
import { redisServerPath } from "../support/requires.ts";
import { once, until } from "../support/wait.ts";

const path = redisServerPath();

/** How long a lost message may go unnoticed, and what a busy machine takes on top, in ms. */
const [INTERVAL, SLACK] = [600, 2_500];

describe("A cluster whose messenger fails", () => {
  let store: RedisServer;
  let messenger: RedisServer;
  withRedisServer((started) => store = started);
  afterEach(async () => {
    await stopNodes();
    if (path) await messenger.stop();
  });

  for (const name of MESSENGERS) {
    itNeedsRedis(
      `${name}: loses no update, notices each end within the interval, and delivers messages again afterwards`,
      async () => {
        messenger = await startRedis();
        const nodes = await spawnNodes(2, {
          port: store.port,
          messengerPort: messenger.port,
          messenger: name,
          options: { reconcileInterval: INTERVAL },
        });
        const visit = async (user: string) => {
          const at = browsersAt(nodes);
          await at[0]!.post("/session", { json: { user, n: 0 } });
          await at[0]!.get("/");
          return { at, client: await at[1]!.connect() };
        };
        const [ada, eve, guest] = [
          await visit("ada"),
          await visit("eve"),
          browsersAt(nodes),
        ];
        await guest[0]!.get("/");
        const stranger = await guest[1]!.connect();
        await messenger.stop();

        // the store works, and so does everything that reads it
        await Promise.all(Array.from({ length: 20 }, async (_, i) => {
          if (i % 2) await ada.at[0]!.post("/add", { keep: false });
          else await ada.at[1]!.ask(ada.client, "count");
        }));
        assertEquals((await ada.at[0]!.get("/session")).json.session.n, 20);

        // a use after the end is refused at once; an idle socket is notified within the interval
        const since = Date.now();
        const [ended, started] = [
          once(eve.client, "session:end"),
          once(stranger, "session:start"),
        ];
        const idle = once(ada.client, "session:end");
        await eve.at[0]!.post("/logout");
        assertEquals(
          (await eve.at[1]!.ask(eve.client, "count")).code,
          "SESSION_MISSING",
        );
        await guest[0]!.post("/session", { json: { user: "bob" } });
        await ada.at[0]!.post("/logout");
        await Promise.all([ended, started, idle]);
        assertLess(Date.now() - since, INTERVAL + SLACK);
        assertEquals((await guest[1]!.ask(stranger, "get")).user, "bob");

        // its clients reconnect, and messages reach the nodes again
        await messenger.start();
        await until(async () => {
          await guest[0]!.post("/news?user=bob");
          return guest[1]!.received(stranger).some(([event]) =>
            event === "news"
          );
        }, "news");
        const over = once(stranger, "session:end");
        await guest[0]!.post("/logout");
        assertEquals(await over, [{ reason: "logout" }]);
        for (const { lines } of nodes) {
          assertEquals(lines.filter(({ type }) => type === "unhandled"), []);
        }
      },
    );
  }
});
