/** Two states of the sources, compared in pairs of short turns. */
import type { Runtime } from "./child.ts";
import { type Load, PAIRED } from "./scenarios.ts";
import { HTTP_CLIENTS, type PairPlan, SOCKETS } from "./plan.ts";
import { type Cores, type Measured, Stand } from "./stand.ts";
import { type Interval, median, medianInterval } from "./statistics.ts";

/** What two states cost in one scenario. */
export interface Pair {
  readonly scenario: string;
  /** CPU time per operation, in µs. */
  readonly before: number;
  /** CPU time per operation, in µs. */
  readonly now: number;
  /** The median of `now ÷ before` over the couples of servers, with its 95 % confidence interval. */
  readonly ratio: Interval;
}

/** The two states, and how to measure them. */
export interface PairedRun {
  readonly before: Runtime;
  readonly now: Runtime;
  readonly load: Runtime;
  readonly cores: Cores;
  readonly plan: PairPlan;
  /** Measures the scenarios whose names contain this text only. */
  readonly only: string;
}

/** Ratios within this distance of 1 count as equal. */
const TOLERANCE = 0.03;

/**
 * Measures each scenario on several couples of fresh servers, as one process of
 * the same code may be some percent slower than another for all of its life.
 * The two turns of a pair follow each other directly, in alternating order:
 * what slows the machine down slows both.
 */
export async function pairs(run: PairedRun): Promise<Pair[]> {
  const measured: Pair[] = [];
  for (const [scenario, load] of Object.entries(PAIRED)) {
    if (!scenario.includes(run.only)) continue;
    const couples: Couple[] = [];
    for (let i = 0; i < run.plan.couples; i++) {
      couples.push(await couple(run, load));
    }
    measured.push({
      scenario,
      before: median(couples.map(({ before }) => before)),
      now: median(couples.map(({ now }) => now)),
      ratio: medianInterval(couples.map(({ ratio }) => ratio)),
    });
  }
  return measured;
}

/** The medians of a couple of servers. */
interface Couple {
  readonly before: number;
  readonly now: number;
  readonly ratio: number;
}

async function couple(
  { before, now, load: loadRuntime, cores, plan }: PairedRun,
  load: Load,
): Promise<Couple> {
  await using stand = new Stand(loadRuntime, cores);
  const servers: [Measured, Measured] = [
    await stand.start({ name: "before", target: "ours", runtime: before }),
    await stand.start({ name: "now", target: "ours", runtime: now }),
  ];
  for (const server of servers) {
    const { port } = server;
    const count = load.among ?? Math.max(SOCKETS, HTTP_CLIENTS);
    await stand.load.call("login", { port, count });
    if (load.event) {
      await stand.load.call("open", {
        port,
        count: SOCKETS,
        sessions: SOCKETS,
      });
    }
    await stand.turn(server, { ...load, ms: plan.warmMs });
  }
  const costs: [number[], number[]] = [[], []];
  for (let round = 0; round < plan.rounds; round++) {
    for (const at of round % 2 === 0 ? [0, 1] as const : [1, 0] as const) {
      const { cpu } = await stand.turn(servers[at], {
        ...load,
        ms: plan.turnMs,
      });
      costs[at].push(cpu);
    }
  }
  const [first, second] = costs;
  return {
    before: median(first),
    now: median(second),
    ratio: median(second.map((cost, i) => cost / first[i]!)),
  };
}

/** Whether a pair shows a difference: only where the whole interval lies outside the tolerance. */
export function verdict({ ratio }: Pair): "slower" | "faster" | "equal" {
  if (ratio.low > 1 + TOLERANCE) return "slower";
  return ratio.high < 1 - TOLERANCE ? "faster" : "equal";
}

/** The pairs as a Markdown table. */
export function pairTable(measured: readonly Pair[]): string {
  const rows = measured.map((pair) => {
    const { scenario, before, now, ratio } = pair;
    return [
      scenario,
      `${before.toFixed(1)} µs`,
      `${now.toFixed(1)} µs`,
      `× ${ratio.median.toFixed(3)}`,
      `${ratio.low.toFixed(3)} to ${ratio.high.toFixed(3)}`,
      verdict(pair),
    ];
  });
  const lines = [
    ["", "before", "now", "now ÷ before", "95 % interval", ""],
    ["---", "---:", "---:", "---:", "---:", "---"],
    ...rows,
  ];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
