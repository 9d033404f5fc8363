import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Rounds } from "../../src/base/rounds.ts";
import { deferred } from "../support/wait.ts";

/** An action that notes its name, and ends when it is let go. */
function held(name: string, log: string[]) {
  const { promise, resolve, reject } = deferred();
  const action = (isDue: () => boolean) => {
    log.push(name);
    return promise.finally(() => log.push(`${name} due=${isDue()}`));
  };
  return { action, end: resolve, fail: reject };
}

describe("Rounds", () => {
  it("runs one action at a time for a key, and of the calls meanwhile the latest", async () => {
    const rounds = new Rounds<string>();
    const log: string[] = [];
    const first = held("first", log);
    const second = held("second", log);
    const third = held("third", log);
    const done = rounds.run("a", first.action);
    await Promise.resolve();
    const later = [
      rounds.run("a", second.action),
      rounds.run("a", third.action),
    ];
    first.end();
    third.end();
    await Promise.all([done, ...later]);
    assertEquals(log, ["first", "first due=true", "third", "third due=false"]);
  });

  it("runs keys beside each other", async () => {
    const rounds = new Rounds<string>();
    const log: string[] = [];
    const a = held("a", log);
    const b = held("b", log);
    const slow = rounds.run("a", a.action);
    b.end();
    await rounds.run("b", b.action);
    assertEquals(log, ["a", "b", "b due=false"]);
    a.end();
    await slow;
  });

  it("runs a call of any moment around the end of the last action", async () => {
    for (let moment = 0; moment < 12; moment++) {
      const rounds = new Rounds<string>();
      let ran = 0;
      const action = () => {
        ran++;
        return Promise.resolve();
      };
      const first = rounds.run("a", action);
      for (let turn = 0; turn < moment; turn++) await Promise.resolve();
      await rounds.run("a", action);
      await first;
      // a call before the first action began takes its place
      assertEquals(ran, moment === 0 ? 1 : 2, `after ${moment} microtasks`);
    }
  });

  it("rejects when the last action fails, and takes the next call", async () => {
    const rounds = new Rounds<string>();
    const fails = () => Promise.reject(new Error("no answer"));
    await assertRejects(() => rounds.run("a", fails), Error, "no answer");
    let ran = 0;
    await rounds.run("a", () => {
      ran++;
      return Promise.resolve();
    });
    assertEquals(ran, 1);
  });

  it("runs the action after one that fails, and settles as that does", async () => {
    const rounds = new Rounds<string>();
    const log: string[] = [];
    const first = held("first", log);
    const second = held("second", log);
    const done = rounds.run("a", first.action);
    await Promise.resolve();
    const later = rounds.run("a", second.action);
    first.fail(new Error("no answer"));
    second.end();
    await Promise.all([done, later]);
    assertEquals(log, [
      "first",
      "first due=true",
      "second",
      "second due=false",
    ]);
  });
});
