import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  called,
  chain,
  isThenable,
  withFinally,
} from "../../src/base/async.ts";

const thenable = <T>(value: T): Promise<T> =>
  ({
    then: (resolve: (value: T) => void) => resolve(value),
  }) as unknown as Promise<T>;

const fail = (): never => {
  throw new Error("next");
};

describe("chain", () => {
  it("continues synchronously with a value that is there", () => {
    assertEquals(chain(1, (value) => value + 1), 2);
    assertEquals(chain(undefined, (value) => value), undefined);
    assertEquals(chain(null, (value) => value), null);
  });

  it("continues with the value of a promise", async () => {
    const result = chain(Promise.resolve(1), (value) => value + 1);
    assertEquals(result instanceof Promise, true);
    assertEquals(await result, 2);
  });

  it("continues with the value of a thenable, as a native promise", async () => {
    const result = chain(thenable(1), (value) => value + 1);
    assertEquals(result instanceof Promise, true);
    assertEquals(await result, 2);
  });

  it("resolves to what a promise of next resolves to", async () => {
    assertEquals(await chain(1, (value) => Promise.resolve(value + 1)), 2);
    assertEquals(
      await chain(Promise.resolve(1), (value) => Promise.resolve(value + 1)),
      2,
    );
  });

  it("rejects as the promise does where no handler is given", async () => {
    const result = chain(Promise.reject(new Error("value")), () => 1);
    await assertRejects(() => Promise.resolve(result), Error, "value");
  });

  it("resolves to what the handler of a rejection returns", async () => {
    const reasons: unknown[] = [];
    const result = chain<number, string>(
      Promise.reject("value"),
      () => "next",
      (error) => {
        reasons.push(error);
        return "failed";
      },
    );
    assertEquals(await result, "failed");
    assertEquals(reasons, ["value"]);
  });

  it("leaves errors of next to the caller, thrown or rejected", async () => {
    const failed = () => 2;
    assertThrows(() => chain(1, fail, failed), Error, "next");
    const result = chain(Promise.resolve(1), fail, failed);
    await assertRejects(() => Promise.resolve(result), Error, "next");
  });
});

describe("called", () => {
  it("resolves to what the callback is given", async () => {
    assertEquals(await called<number>((done) => done(null, 1)), 1);
    assertEquals(await called<number>((done) => done()), undefined);
    assertEquals(
      await called<number>((done) => setTimeout(done, 1)),
      undefined,
    );
  });

  it("rejects with an error that is called back, thrown or rejected", async () => {
    const next = new Error("next");
    for (
      const call of [
        (done: (error: unknown) => void) => done(next),
        fail,
        () => Promise.reject(next),
        async () => await Promise.reject(next),
      ]
    ) await assertRejects(() => called(call), Error, "next");
  });
});

describe("isThenable", () => {
  it("is true of objects with a then, and of nothing else", () => {
    assertEquals(isThenable(Promise.resolve()), true);
    assertEquals(isThenable(thenable(1)), true);
    for (const value of [undefined, null, 1, "then", {}, { then: true }]) {
      assertEquals(isThenable(value), false);
    }
  });
});

describe("withFinally", () => {
  it("runs the end once, however the act ends", async () => {
    const ends: string[] = [];
    const end = (name: string) => () => void ends.push(name);
    assertEquals(withFinally(() => 1, end("value")), 1);
    assertEquals(
      await withFinally(() => Promise.resolve(1), end("promise")),
      1,
    );
    assertThrows(() => withFinally(fail, end("throw")), Error, "next");
    await assertRejects(
      async () => {
        await withFinally(() => Promise.reject(new Error("no")), end("reject"));
      },
      Error,
      "no",
    );
    assertEquals(ends, ["value", "promise", "throw", "reject"]);
  });
});
