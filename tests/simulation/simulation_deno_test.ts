/**
 * Random histories of nodes, store and messenger under virtual time. A failure
 * prints the seed, the smallest program that fails in the same way, and its
 * timeline; `deno task simulate --seeds=<seed>-<seed>` repeats it.
 */
import { testStore } from "@koa-io/session/testing";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { programOf } from "./program.ts";
import { describeFailure, shrink } from "./shrink.ts";
import { SharedCentral } from "./stores.ts";
import { simulate } from "./world.ts";

/** Seeds that are always run; `deno task simulate` runs others. */
const FIXED = 200;
/** Seeds of one test. */
const AT_ONCE = 20;

describe("a simulated cluster", () => {
  for (let first = 1; first <= FIXED; first += AT_ONCE) {
    const seeds = Array.from({ length: AT_ONCE }, (_, i) => first + i);
    it(`keeps every promise with the seeds ${first} to ${seeds.at(-1)}`, async () => {
      await check(seeds);
    });
  }

  it("repeats a history by its seed", async () => {
    const seeds = [3, 14, 15, 92];
    const run = async (seed: number) => {
      const { lines, events } = await simulate(programOf(seed), true);
      return { events, lines: lines.map(withoutRandomIds) };
    };
    for (const seed of seeds) {
      assertEquals(await run(seed), await run(seed));
    }
  });
});

const centrals = new WeakMap<object, SharedCentral>();

void testStore(
  "the simulated shared store",
  () => connected(new SharedCentral()),
  {
    describe,
    it,
    peer: (store) => connected(centrals.get(store)!),
    dispose: (store) => centrals.get(store)!.close(),
  },
);

function connected(central: SharedCentral) {
  const store = central.connect(async (_name, apply) => await apply());
  centrals.set(store, central);
  return store;
}

async function check(seeds: readonly number[]): Promise<void> {
  for (const seed of seeds) {
    const program = programOf(seed);
    const { violations } = await simulate(program);
    if (violations.length === 0) continue;
    throw new Error(await describeFailure(await shrink(program)));
  }
}

/** Ids of clients, sockets and tokens are random, and decide nothing. */
function withoutRandomIds(line: string): string {
  return line.replace(/[\w-]{20,}/g, "#").replace(/\d{13}/g, "#")
    .replace(/(?<=acquire \w+ |commit \w+ )[\w-]{4}/, "#")
    .replace(/expires=[^;]*/g, "#").replace(/"handle":"[^"]*"/g, "#");
}
