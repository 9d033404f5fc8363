/**
 * Counts lost updates: many concurrent writers on one session, over HTTP and
 * from sockets. Prints a table; exits with 1 if an update was lost.
 *
 * deno task race
 */
import process from "node:process";
import { onConnection, type TestContext } from "../tests/support/app.ts";
import type { Browser, ClientSocket } from "../tests/support/browser.ts";
import {
  type Ack,
  answer,
  sessionEvents,
  sessionRoutes,
} from "../tests/support/routes.ts";
import { type Stand, startServer } from "../tests/support/server.ts";

/** Number of writes per row, and of concurrent writes. */
const WRITES = Number(process.env.RACE_WRITES ?? 400);
const AT_ONCE = 50;
const SOCKETS = 8;

interface Row {
  readonly name: string;
  /** Does the i-th write; resolves to the key that it incremented. */
  readonly write: (race: Race, i: number) => Promise<string>;
}

interface Race {
  readonly browser: Browser;
  readonly sockets: readonly ClientSocket[];
}

const post = async ({ browser }: Race, path: string) => {
  const { status, body } = await browser.post(path, { keep: false });
  if (status !== 200) throw new Error(`${path} answered ${status}: ${body}`);
};

const emit = async ({ browser, sockets }: Race, i: number, key: string) => {
  const socket = sockets[i % sockets.length]!;
  const result = await browser.ask(socket, "count", key);
  if (result !== true) throw new Error(JSON.stringify(result));
};

const rows: readonly Row[] = [
  {
    name: "sockets only",
    write: async (race, i) => {
      await emit(race, i, "n");
      return "n";
    },
  },
  {
    name: "HTTP ctx.withSession only",
    write: async (race) => {
      await post(race, "/count?key=n");
      return "n";
    },
  },
  {
    name: "mixed, same key",
    write: async (race, i) => {
      if (i % 2) await emit(race, i, "n");
      else await post(race, "/count?key=n");
      return "n";
    },
  },
  {
    name: "mixed, disjoint keys",
    write: async (race, i) => {
      // plain requests without a lock, each with a separate key, and transactions
      if (i % 2) {
        await emit(race, i, "n");
        return "n";
      }
      await post(race, `/plain?key=k${i}`);
      return `k${i}`;
    },
  },
];

function count(ctx: TestContext): Promise<void> {
  const key = String(ctx.query.key);
  return ctx.withSession(async ({ session }) => {
    const before = Number(session![key] ?? 0);
    await Promise.resolve();
    session![key] = before + 1;
  });
}

function start(): Promise<Stand> {
  return startServer({}, ({ app, io }) => {
    sessionRoutes(app);
    sessionEvents(io);
    app.use(async (ctx) => {
      const key = String(ctx.query.key);
      if (ctx.path === "/count") await count(ctx);
      if (ctx.path === "/plain") {
        const before = Number(ctx.session![key] ?? 0);
        await new Promise((resolve) => setTimeout(resolve, 2));
        ctx.session![key] = before + 1;
      }
      ctx.body = "counted";
    });
    onConnection(io, (socket) => {
      socket.on("count", (key: string, ack: Ack) => {
        answer(
          ack,
          socket.withSession(async ({ session }) => {
            const before = Number(session![key] ?? 0);
            await Promise.resolve();
            session![key] = before + 1;
            return true;
          }),
        );
      });
    });
  });
}

/** Makes all writes of a row and returns the number of lost updates and the duration. */
async function run(row: Row): Promise<{ lost: number; ms: number }> {
  await using stand = await start();
  const browser = stand.browser();
  await browser.post("/session", { json: { n: 0 } });
  await browser.get("/session");
  const sockets: ClientSocket[] = [];
  for (let i = 0; i < SOCKETS; i++) sockets.push(await browser.connect());
  const race = { browser, sockets };
  const expected = new Map<string, number>();
  const since = performance.now();
  for (let first = 0; first < WRITES; first += AT_ONCE) {
    const length = Math.min(AT_ONCE, WRITES - first);
    const keys = await Promise.all(
      Array.from({ length }, (_, i) => row.write(race, first + i)),
    );
    for (const key of keys) expected.set(key, (expected.get(key) ?? 0) + 1);
  }
  const ms = performance.now() - since;
  const { session } = (await browser.get("/session")).json;
  let lost = 0;
  for (const [key, times] of expected) lost += times - (session[key] ?? 0);
  return { lost, ms };
}

console.log(`${WRITES} increments of one session, ${AT_ONCE} at once\n`);
console.log("| writers                   | lost | per write |");
console.log("| ------------------------- | ---: | --------: |");
let total = 0;
for (const row of rows) {
  const { lost, ms } = await run(row);
  total += Math.abs(lost);
  const name = row.name.padEnd(25);
  const each = `${(ms / WRITES).toFixed(2)} ms`;
  console.log(
    `| ${name} | ${String(lost).padStart(4)} | ${each.padStart(9)} |`,
  );
}
if (total > 0) {
  console.error(`\n${total} updates were lost`);
  process.exitCode = 1;
}
