/**
 * `deno task torture`: random programs on real nodes, a real store and real
 * faults, and a check of what was answered.
 *
 *     deno task torture [--stores=redis,sqlite,postgres] [--seeds=A-B] [--seconds=120]
 *     deno task torture --target=koa-session --stores=redis
 *     deno task torture --target=express-session --stores=redis
 */
import { parseArgs } from "node:util";
import { postgresBin, redisServerPath } from "../support/requires.ts";
import {
  type StoreName,
  STORES,
  type TargetName,
  TARGETS,
  torture,
} from "./run.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    stores: { type: "string", default: STORES.join(",") },
    seeds: { type: "string", default: `${Date.now() % 100_000}-` },
    target: { type: "string", default: "bridge" },
    seconds: { type: "string", default: "120" },
  },
});

const MISSING: Readonly<Record<StoreName, boolean>> = {
  redis: !redisServerPath(),
  sqlite: false,
  postgres: !postgresBin(),
};
const [first = 0, last = Infinity] = values.seeds.split("-")
  .map((text) => text === "" ? Infinity : Number(text));
const stores = values.stores.split(",") as StoreName[];
const end = performance.now() + Number(values.seconds) * 1_000;

const target = values.target as TargetName;
if (!(target in TARGETS)) throw new TypeError(`No such target: ${target}`);

let failed = 0;
let operations = 0;
for (let seed = first; seed <= last && performance.now() < end; seed++) {
  for (const store of stores) {
    if (!STORES.includes(store)) throw new TypeError(`No such store: ${store}`);
    if (MISSING[store]) {
      console.log(`${store} is not installed, and left out`);
      continue;
    }
    const { faults, disturbances, ...counts } = await torture(
      store,
      seed,
      target,
    );
    operations += counts.operations;
    console.log(
      `${store}, seed ${seed}: ${counts.answered} of ${counts.operations} answered; ` +
        `${disturbances.join(", ")}; ${faults.length} faults`,
    );
    for (const fault of faults) console.log(`\n${fault}\n`);
    failed += faults.length;
  }
}
console.log(`\n${operations} operations, ${failed} faults`);
Deno.exit(failed > 0 ? 1 : 0);
