/**
 * Random interleavings over real ports against a model so simple that it is
 * plainly right: a client has one session or none, a session has one object.
 * The steps of a run follow one another; the operations of a step go out at
 * once. A failure prints fast-check's seed and path.
 */
import { describe, it } from "@std/testing/bdd";
import { assertGreaterOrEqual } from "@std/assert";
import fc from "fast-check";
import {
  agrees,
  Client,
  MOVING,
  SHARED,
  startModel,
} from "../support/model.ts";

/** Runs in all, shared out among lanes that run beside each other on one server. */
const LANES = 5;
const RUNS_PER_LANE = 60;

const shared = fc.array(fc.constantFrom(...SHARED), {
  minLength: 1,
  maxLength: 6,
});
const step = fc.oneof(
  { weight: 3, arbitrary: shared },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.constantFrom(...MOVING.filter((name) => name !== "login")),
      shared,
    ).map(([moving, others]) => [
      ...others.filter((name) => agrees(name, moving)),
      moving,
    ]),
  },
  { weight: 1, arbitrary: fc.constant(["login"] as const) },
  { weight: 1, arbitrary: fc.constant(["connect"] as const) },
);
const run = fc.array(step, { minLength: 1, maxLength: 7 });

describe("the bridge", () => {
  it("agrees with a sequential model under random interleavings of requests, transactions, ends, new ids and disconnects", async () => {
    await using scenario = await startModel();
    let runs = 0;
    const property = fc.asyncProperty(run, async (steps) => {
      const client = new Client(scenario);
      await client.step(["login"]);
      await client.step(["connect"]);
      for (const operations of steps) await client.step(operations);
      await client.finish();
      runs++;
    });
    const seed = Date.now() & 0x7fffffff;
    await Promise.all(
      Array.from({ length: LANES }, (_, lane) =>
        fc.assert(property, {
          numRuns: RUNS_PER_LANE,
          seed: seed + lane,
          // the steps are readable as they are, and shrinking in real time takes too long
          endOnFailure: true,
        })),
    );
    assertGreaterOrEqual(runs, 200);
  });
});
