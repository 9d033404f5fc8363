/**
 * A process that works on a SqliteStore, started by sqlite_crash_test.ts:
 * `<URL of the store's module> <file> <what> [session]`. It prints a line for each acknowledged write, and runs until it is killed or done.
 */
import process from "node:process";
import { writeSync } from "node:fs";

const [module, path, what, sid = ""] = process.argv.slice(2) as string[];
const { SqliteStore } = await import(
  module!
) as typeof import("@koa-io/session/sqlite");
const store = new SqliteStore({ path: path! });
const token = `${process.pid} ${Math.random()}`;

const say = (line: string) => void writeSync(1, `${line}\n`);
const record = (n: number) => ({
  data: JSON.stringify({ n, fill: "x".repeat(n % 7 * 1_000) }),
  maxAge: 600_000,
  expires: Date.now() + 600_000,
  absoluteEnd: undefined,
  cookie: undefined,
  clientId: `client ${n % 10}`,
  settled: true,
  user: `user ${n % 3}`,
  created: undefined,
  authenticatedAt: undefined,
  lastUsed: undefined,
  arrived: undefined,
  meta: undefined,
  handle: undefined,
});

/** Writes over twenty sessions, by lease and without, and ends one now and then. */
async function storm(): Promise<void> {
  for (let n = 1;; n++) {
    const id = `${process.pid}-${n % 20}`;
    if (n % 50 === 0) {
      if (await store.destroy(id)) say(`gone ${id} ${n}`);
      continue;
    }
    const old = await store.read(id);
    if (n % 2 && old) {
      await store.acquire(id, `${token} ${n}`, 5_000, 5_000);
      await store.commit(id, `${token} ${n}`, record(n));
    } else await store.write(id, record(n), old?.version ?? null);
    say(`kept ${id} ${n}`);
    if (n % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

/** Adds 1 to a session 100 times, under a lease each. */
async function count(): Promise<void> {
  let slowest = 0;
  for (let i = 0; i < 100; i++) {
    const from = Date.now();
    const acquired = await store.acquire(sid, `${token} ${i}`, 5_000, 60_000);
    slowest = Math.max(slowest, Date.now() - from);
    if (acquired.status !== "granted") throw new Error(acquired.status);
    const { version: _, ...old } = acquired.record;
    const { n } = JSON.parse(old.data);
    const next = { ...old, data: JSON.stringify({ n: n + 1 }) };
    await store.commit(sid, `${token} ${i}`, next);
  }
  say(`done ${slowest}`);
}

say("ready");
if (what === "storm") await storm();
else if (what === "count") {
  // all begin together
  await new Promise((resolve) => process.stdin.once("data", resolve));
  process.stdin.destroy();
  await count();
  store.close();
} else {
  const acquired = store.acquire(sid, token, 1_500, 60_000);
  if (what === "wait") say("waiting");
  await acquired;
  say("held");
  setInterval(() => {}, 1_000);
}
