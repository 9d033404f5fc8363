/**
 * Random interleavings over real ports against a model so simple that it is
 * plainly right: a client has one session or none, a session has one object.
 * The steps of a run follow one another; the operations of a step go out at
 * once. A failure prints fast-check's seed and path.
 */
import { describe, it } from "@std/testing/bdd";
import { assertGreaterOrEqual } from "@std/assert";
import fc from "fast-check";
import { Client } from "../support/model.ts";
import {
  agrees,
  CHANGING,
  MOVING,
  type Operation,
  SHARED,
  startModel,
} from "../support/model_server.ts";

/** Runs in all, shared out among lanes that run beside each other on one server. */
const LANES = 5;
const RUNS_PER_LANE = 60;

const shared = fc.array(fc.constantFrom(...SHARED), {
  minLength: 1,
  maxLength: 6,
});

/** The steps of a client, on a bridge with the option `user` or without. */
function run(withUser: boolean) {
  const moving: Operation[] = MOVING.filter((name) => name !== "login");
  if (withUser) moving.push(...CHANGING);
  const alone = (name: Operation) => fc.constant<Operation[]>([name]);
  const step = fc.oneof(
    { weight: 3, arbitrary: shared },
    {
      weight: withUser ? 4 : 3,
      arbitrary: fc.tuple(fc.constantFrom(...moving), shared)
        .map(([moving, others]): Operation[] => [
          ...others.filter((name) => agrees(name, moving)),
          moving,
        ]),
    },
    { weight: 1, arbitrary: alone("login") },
    { weight: 1, arbitrary: alone("connect") },
  );
  return fc.array(step, { minLength: 1, maxLength: 7 });
}

describe("the bridge", () => {
  for (const withUser of [false, true]) {
    const kind = withUser ? ", with changes of user" : "";
    it(`agrees with a sequential model under random interleavings of requests, transactions, ends, new ids and disconnects${kind}`, async () => {
      await using scenario = await startModel(withUser);
      let runs = 0;
      const property = fc.asyncProperty(run(withUser), async (steps) => {
        const client = new Client(scenario, withUser);
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
  }
});
