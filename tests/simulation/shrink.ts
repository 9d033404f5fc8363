/** Makes a failing program as small as possible, and describes it. */
import type { Entry, Program, Step } from "./program.ts";
import { simulate } from "./world.ts";

/** Limit of runs that look for a smaller program. */
const MAX_RUNS = 600;

/** The smallest program found that fails in the same way. */
export async function shrink(program: Program): Promise<Program> {
  const kind = kindOf((await simulate(program)).violations[0]!);
  let runs = 0;
  const fails = async (entries: readonly Entry[]) => {
    if (++runs > MAX_RUNS) return false;
    const { violations } = await simulate({ ...program, entries });
    return violations.some((violation) => kindOf(violation) === kind);
  };
  let { entries } = program;
  for (let before = -1; before !== size(entries);) {
    before = size(entries);
    entries = await withoutParts(entries, fails);
    entries = await simpler(entries, fails);
  }
  return { ...program, entries };
}

/** A violation without what differs from run to run: times, ids and tokens. */
function kindOf(violation: string): string {
  return violation.split("\n")[0]!.replace(/[\w-]*\d[\w-]*/g, "#")
    .replace(/(#,?)+/g, "#").replace(/\b\w{24}\b|[\w-]{16,}/g, "#");
}

function size(entries: readonly Entry[]): number {
  return JSON.stringify(entries).length;
}

/** Delta debugging: removes halves, quarters, and so on. */
async function withoutParts(
  entries: readonly Entry[],
  fails: (entries: readonly Entry[]) => Promise<boolean>,
): Promise<readonly Entry[]> {
  for (let length = Math.ceil(entries.length / 2); length >= 1;) {
    let removed = false;
    for (let at = 0; at < entries.length;) {
      const fewer = [...entries.slice(0, at), ...entries.slice(at + length)];
      if (await fails(fewer)) {
        entries = fewer;
        removed = true;
      } else at += length;
    }
    if (length === 1 && !removed) break;
    length = length === 1 ? 1 : Math.ceil(length / 2);
  }
  return entries;
}

/** Removes faults and steps of single entries. */
async function simpler(
  entries: readonly Entry[],
  fails: (entries: readonly Entry[]) => Promise<boolean>,
): Promise<readonly Entry[]> {
  for (let i = 0; i < entries.length; i++) {
    for (const simple of simplerThan(entries[i]!)) {
      const changed = entries.with(i, simple);
      if (!await fails(changed)) continue;
      entries = changed;
      i--;
      break;
    }
  }
  return entries;
}

function* simplerThan(entry: Entry): Iterable<Entry> {
  if (entry.chaos > 0) yield { ...entry, chaos: 0 };
  if (!("steps" in entry)) return;
  for (const steps of fewerSteps(entry.steps)) yield { ...entry, steps };
}

function* fewerSteps(steps: readonly Step[]): Iterable<readonly Step[]> {
  for (let i = 0; i < steps.length; i++) {
    const step = steps[i]!;
    if (steps.length > 1 || step.do !== "call") {
      yield steps.filter((_, at) => at !== i);
    }
    if (!("steps" in step)) continue;
    for (const inner of fewerSteps(step.steps)) {
      yield steps.with(i, { ...step, steps: inner });
    }
  }
}

/** A failing program with its timeline. */
export async function describeFailure(program: Program): Promise<string> {
  const { violations, lines } = await simulate(program, true);
  const { seed, setup, entries } = program;
  return [
    `seed ${seed}`,
    JSON.stringify(setup),
    ...entries.map((entry) => `  ${JSON.stringify(entry)}`),
    ...lines,
    "violations:",
    ...violations.map((violation) => `  ${violation}`),
    "",
  ].join("\n");
}
