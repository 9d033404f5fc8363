import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startChild } from "../support/child_process.ts";
import { withSqlite } from "../support/sqlite.ts";
import { record } from "../support/stores/records.ts";
import { once, settles, until } from "../support/wait.ts";

const WRITER = new URL("../support/programs/sqlite_writer.ts", import.meta.url);

interface Writer {
  readonly child: ChildProcess;
  /** The lines that it has printed so far. */
  lines(): string[];
  kill(): Promise<void>;
}

withSqlite(({ SqliteStore }) => {
  describe("SqliteStore among processes that are killed", () => {
    let dir: string;
    let path: string;
    const writers: Writer[] = [];

    const write = (what: string, sid = ""): Writer => {
      const module = import.meta.resolve("@koa-io/session/sqlite");
      const child = startChild(WRITER, [module, path, what, sid]);
      let text = "";
      child.stdout!.setEncoding("utf8").on("data", (more) => text += more);
      const closed = once(child, "close", { timeout: 110_000 });
      closed.catch(() => {});
      const writer: Writer = {
        child,
        // the last one may have been cut off
        lines: () => text.split("\n").slice(0, -1),
        async kill() {
          // child.kill() does nothing where the process has just ended, process.kill() throws
          child.kill("SIGKILL");
          await closed;
        },
      };
      writers.push(writer);
      return writer;
    };
    const says = (writer: Writer, line: string) =>
      until(() => writer.lines().includes(line), line, 20_000);

    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), "koa-io-session-"));
      path = join(dir, "sessions.db");
    });
    afterEach(async () => {
      for (const writer of writers.splice(0)) await writer.kill();
      rmSync(dir, { recursive: true });
    });

    it("kill -9 during writes loses no acknowledged write", async () => {
      let acknowledged = 0;
      for (let round = 0; round < 5; round++) {
        const victim = write("storm");
        const other = write("storm");
        await until(
          () =>
            Math.min(victim.lines().length, other.lines().length) >
              200 + round * 37,
          "a storm",
          30_000,
        );
        await victim.kill();
        const soFar = other.lines().length;
        await until(
          () => other.lines().length > soFar + 50,
          "the other going on",
          10_000,
        );
        await other.kill();

        const store = new SqliteStore({ path });
        try {
          for (const writer of [victim, other]) {
            const last = new Map<string, [string, number]>();
            for (const line of writer.lines().slice(1)) {
              const [what, sid, n] = line.split(" ") as [
                string,
                string,
                string,
              ];
              last.set(sid, [what, Number(n)]);
              acknowledged++;
            }
            const end = Math.max(...[...last.values()].map(([, n]) => n));
            for (const [sid, [what, n]] of last) {
              const stored = await store.read(sid);
              const found = stored && JSON.parse(stored.data).n as number;
              // the last write, which was not acknowledged, may be stored or not
              const unheard = (found ?? end + 1) > end;
              if (!unheard) assertEquals([what, found], ["kept", n], sid);
              else if (what === "kept" && found === undefined) {
                assertEquals((end + 1) % 50, 0, `${sid} is gone`);
              }
            }
          }
        } finally {
          store.close();
        }
        assertEquals(check(path), "ok");
      }
      assertGreater(acknowledged, 2_000);
    });

    it("a lease ends with its hold when its holder is killed", async () => {
      const store = new SqliteStore({ path });
      try {
        await store.write("sid", record(), null);
        const holder = write("hold", "sid");
        await says(holder, "held");
        await holder.kill();
        const from = Date.now();
        const acquired = await store.acquire("sid", "mine", 5_000, 5_000);
        assertEquals(acquired.status, "granted");
        assertLess(Date.now() - from, 2_500);
      } finally {
        store.close();
      }
    });

    it("the queue does not wait for a killed waiter", async () => {
      const store = new SqliteStore({ path });
      try {
        await store.write("sid", record(), null);
        await store.acquire("sid", "first", 60_000, 0);
        const dead = write("wait", "sid");
        await says(dead, "waiting");
        const behind = store.acquire("sid", "behind", 5_000, 20_000);
        await dead.kill();
        await store.commit("sid", "first", undefined);
        const acquired = await settles(behind, "the next in line", 5_000);
        assertEquals(acquired.status, "granted");
      } finally {
        store.close();
      }
    });

    it("three processes count one session to the last", async () => {
      const store = new SqliteStore({ path });
      try {
        await store.write("sid", record(), null);
        const counters = [1, 2, 3].map(() => write("count", "sid"));
        for (const counter of counters) await says(counter, "ready");
        for (const { child } of counters) child.stdin!.end("go\n");
        for (const counter of counters) {
          await until(
            () => counter.lines().some((line) => line.startsWith("done")),
            "the count",
            60_000,
          );
        }
        const stored = await store.read("sid");
        assert(stored);
        assertEquals(JSON.parse(stored.data), { n: 300 });
      } finally {
        store.close();
      }
    });

    it("many processes can create the file at once", async () => {
      const openers = Array.from({ length: 6 }, () => write("storm"));
      for (const opener of openers) await says(opener, "ready");
    });
  });
});

/** The result of SQLite's integrity check: `ok` for a sound file. */
function check(path: string): unknown {
  const { DatabaseSync } = (process as unknown as {
    getBuiltinModule(id: string): typeof import("node:sqlite");
  }).getBuiltinModule("node:sqlite");
  const db = new DatabaseSync(path);
  try {
    return db.prepare("PRAGMA integrity_check").get()?.integrity_check;
  } finally {
    db.close();
  }
}
