/** A finished call keeps nothing, however its handler started the next one. */
import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { setImmediate } from "node:timers";
import { SessionStore } from "@koa-io/session";
import { collectGarbage } from "../support/garbage.ts";
import { startScenario } from "../support/scenario.ts";
import { deferred, until } from "../support/wait.ts";

const STEPS = 20_000;

/** How many objects of finished calls may be left: those of the last ones. */
const FEW = 200;

/** Objects that are followed without being kept. */
class Followed {
  readonly #refs: WeakRef<object>[] = [];

  add(object: object): void {
    this.#refs.push(new WeakRef(object));
  }

  get count(): number {
    return this.#refs.length;
  }

  /** How many are left once garbage was collected. */
  async left(): Promise<number> {
    let left = Infinity;
    // what a turn of the event loop has read from a WeakRef stays until its end
    for (let round = 0; round < 5 && left > FEW; round++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      collectGarbage();
      left = this.#refs.filter((ref) => ref.deref()).length;
    }
    return left;
  }
}

/** The sessions of a chain of calls, with the time of its first and its last quarter in ms. */
interface Chain {
  readonly followed: Followed;
  readonly quarters: number[];
  next(step: () => void, end: () => void): void;
}

function chainOf(): Chain {
  const followed = new Followed();
  const quarters: number[] = [];
  let since = performance.now();
  return {
    followed,
    quarters,
    next(step, end) {
      if (followed.count % (STEPS / 4) === 0) {
        quarters.push(performance.now() - since);
        since = performance.now();
      }
      if (followed.count < STEPS) setImmediate(step);
      else end();
    },
  };
}

async function assertConstant({ followed, quarters }: Chain): Promise<void> {
  assertEquals(followed.count, STEPS);
  // each step walked through all before it: the last quarter took seven times the first
  assertLess(quarters[3]!, 4 * quarters[0]! + 200);
  assertLess(await followed.left(), FEW);
}

describe("a finished call", () => {
  async function scene() {
    const store = new SessionStore();
    const scenario = await startScenario({ store });
    const { sessionId } = await scenario.visit();
    const { sessionId: other } = await scenario.visit();
    return {
      scenario,
      sessionId,
      other,
      async [Symbol.asyncDispose]() {
        await scenario.close();
        store.close();
      },
    };
  }

  it("keeps nothing where each step is started in the handler of the one before", async () => {
    await using stand = await scene();
    const { bridge } = stand.scenario;
    const chain = chainOf();
    const ended = deferred();
    const step = () => {
      bridge.withSession(stand.sessionId, ({ session }) => {
        chain.followed.add(session!);
        session!.n!++;
        chain.next(step, ended.resolve);
      });
    };
    step();
    await ended.promise;
    await assertConstant(chain);
  });

  it("keeps nothing where its handler awaits before it starts the next step", async () => {
    await using stand = await scene();
    const { bridge } = stand.scenario;
    const chain = chainOf();
    const ended = deferred();
    const step = () => {
      bridge.withSession(stand.sessionId, async ({ session }) => {
        chain.followed.add(session!);
        await Promise.resolve();
        session!.n!++;
        chain.next(step, ended.resolve);
      });
    };
    step();
    await ended.promise;
    await assertConstant(chain);
  });

  for (const place of ["the same session", "another session"]) {
    it(`keeps nothing inside a handler of ${place} that is still open, where steps are not awaited`, async () => {
      await using stand = await scene();
      const { bridge } = stand.scenario;
      const id = place === "the same session" ? stand.sessionId : stand.other;
      const chain = chainOf();
      await bridge.withSession(stand.sessionId, async () => {
        const ended = deferred();
        const step = () => {
          bridge.withSession(id, ({ session }) => {
            chain.followed.add(session!);
            chain.next(step, ended.resolve);
          });
        };
        step();
        await ended.promise;
        await assertConstant(chain);
      });
    });

    it(`keeps nothing inside a handler of ${place} that is still open, where steps are awaited`, async () => {
      await using stand = await scene();
      const { bridge } = stand.scenario;
      const id = place === "the same session" ? stand.sessionId : stand.other;
      const chain = chainOf();
      await bridge.withSession(stand.sessionId, async () => {
        for (let i = 0; i < STEPS; i++) {
          await bridge.withSession(id, async ({ session }) => {
            chain.followed.add(session!);
            await Promise.resolve();
          });
          if ((i + 1) % (STEPS / 4) === 0) chain.next(() => {}, () => {});
        }
        await assertConstant(chain);
      });
    });
  }

  it("is not kept by timers that its handler has left", async () => {
    await using stand = await scene();
    const { bridge } = stand.scenario;
    const followed = new Followed();
    const timers: ReturnType<typeof setInterval>[] = [];
    try {
      for (let i = 0; i < 2 * FEW; i++) {
        await bridge.withSession(stand.sessionId, ({ session }) => {
          followed.add(session!);
          timers.push(setInterval(() => {}, 1_000_000));
        });
      }
      assertLess(await followed.left(), FEW);
    } finally {
      timers.forEach((timer) => clearInterval(timer));
    }
    await until(() => followed.count === 2 * FEW);
  });
});
