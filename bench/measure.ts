/** A whole run on one runtime. */
import { cpus } from "node:os";
import { outputOf } from "../scripts/project.ts";
import { Child, type Runtime } from "./child.ts";
import type { CleanupCommands } from "./cleanup.ts";
import type { Plan } from "./plan.ts";
import type { Figure, Results } from "./results.ts";
import { crowd, growth, memory, throughput } from "./scenarios.ts";
import { type Cores, type Entrant, Stand } from "./stand.ts";
import type { StoreCommands } from "./stores.ts";

/** The parts of a run. */
export const PARTS = [
  "throughput",
  "crowd",
  "memory",
  "growth",
  "cleanup",
  "stores",
] as const;

/** A part of a run. */
export type Part = typeof PARTS[number];

/** The parameters of a run. */
export interface Run {
  readonly runtime: Runtime;
  readonly load: Runtime;
  readonly parts: readonly Part[];
  readonly plan: Plan;
  readonly quick: boolean;
}

/** Measures the requested parts. */
export async function measureAll(run: Run): Promise<Results> {
  const { runtime, load, parts, plan, quick } = run;
  const cores = await pinning();
  const figures: Figure[] = [];
  const entrants = entrantsOf(run);
  const say = (part: Part) =>
    console.log(`${runtime.name} ${runtime.version}: ${part}`);
  const measures: Record<Part, () => Promise<Figure[]>> = {
    async throughput() {
      await using stand = new Stand(load, cores);
      for (const entrant of entrants) await stand.start(entrant);
      return await throughput(stand, entrants, plan);
    },
    async crowd() {
      await using stand = new Stand(load, cores);
      const own = { name: "ours", target: "oursWithUser", runtime } as const;
      const others = entrants.filter(({ name }) => name !== "ours");
      return await crowd(stand, [...others, own], plan);
    },
    async memory() {
      await using stand = new Stand(load, cores);
      return await memory(stand, entrants, plan);
    },
    async growth() {
      await using stand = new Stand(load, cores);
      const own = entrants.find(({ name }) => name === "ours")!;
      return await growth(stand, own, plan);
    },
    cleanup: () => cleanup(runtime, cores, plan),
    stores: () => stores(runtime, cores, plan),
  };
  for (const part of parts) {
    say(part);
    figures.push(...await measures[part]());
  }
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    runtime: `${runtime.name} ${runtime.version}`,
    load: `${load.name} ${load.version}`,
    machine: { cpu: cpu?.model ?? "", cores: cpus().length },
    pinned: cores.server !== undefined,
    quick,
    figures,
  };
}

function entrantsOf({ runtime }: Run): Entrant[] {
  return [
    { name: "bare", target: "bare", runtime },
    { name: "koa-session", target: "koaSession", runtime },
    { name: "express-session", target: "expressSession", runtime },
    { name: "ours", target: "ours", runtime },
  ];
}

/** One CPU for the server and another for the load, if there are two and `taskset` is installed. */
export async function pinning(): Promise<Cores> {
  const possible = cpus().length > 1 &&
    await outputOf("taskset", ["--version"]) !== undefined;
  return possible
    ? { server: 0, load: 1 }
    : { server: undefined, load: undefined };
}

async function cleanup(
  runtime: Runtime,
  cores: Cores,
  { cleanup: count }: Plan,
): Promise<Figure[]> {
  const child = new Child<CleanupCommands>(
    runtime,
    "cleanup",
    [],
    cores.server,
  );
  try {
    const { stall, quiet } = await child.call("expire", count);
    const scenario = `clean-up of 1 % of ${count} sessions, longest stall`;
    const common = { target: "ours", unit: "ms" };
    return [
      { ...common, scenario, value: stall },
      { ...common, scenario: "the same without clean-up", value: quiet },
    ];
  } finally {
    await child.stop();
  }
}

async function stores(
  runtime: Runtime,
  cores: Cores,
  { storeMs: ms }: Plan,
): Promise<Figure[]> {
  const child = new Child<StoreCommands>(runtime, "stores", [], cores.server);
  const figures: Figure[] = [];
  try {
    const names = [
      "memory",
      "memory, 1 kB",
      "memory, 1 kB, encrypted",
      "SQLite",
      "Redis",
      "PostgreSQL",
    ] as const;
    for (const name of names) {
      const costs = await child.call("ask", { name, ms });
      if ("missing" in costs) {
        console.log(`${name} is not measured: ${costs.missing}`);
        continue;
      }
      for (const [operation, cost] of Object.entries(costs)) {
        const scenario = `${name}, ${operation}`;
        const target = "ours";
        if (typeof cost === "number") {
          figures.push({ scenario, target, value: cost, unit: "×" });
          continue;
        }
        const { cpu: value, rate, roundTrips } = cost;
        figures.push({ scenario, target, value, unit: "µs", rate });
        if (roundTrips === undefined) continue;
        figures.push({
          scenario: `${scenario}, round trips`,
          target,
          value: roundTrips,
          unit: "",
        });
      }
    }
  } finally {
    await child.stop();
  }
  return figures;
}
