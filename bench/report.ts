/** The figures as a Markdown table. */
import { figure, type Results } from "./results.ts";

const COLUMNS = ["bare", "koa-session", "express-session", "ours"];

/** One row per scenario, one column per target, and the ratio of ours to the others. */
export function table(results: Results): string {
  const { figures } = results;
  const columns = COLUMNS.filter((target) =>
    figures.some((one) => one.target === target)
  );
  const scenarios = [...new Set(figures.map(({ scenario }) => scenario))];
  const beside = columns.filter((target) => target !== "ours");
  const head = [
    "",
    ...columns,
    ...beside.map((target) => `ours ÷ ${target}`),
  ];
  const rows = scenarios.map((scenario) => [
    scenario,
    ...columns.map((target) => cell(results, scenario, target)),
    ...beside.map((target) => ratio(results, scenario, target)),
  ]);
  const lines = [
    head,
    head.map((_, i) => i === 0 ? "---" : "---:"),
    ...rows,
  ];
  return [
    caption(results),
    "",
    ...lines.map((cells) => `| ${cells.join(" | ")} |`),
  ].join("\n");
}

function caption(
  { runtime, load, machine, date, pinned, quick }: Results,
): string {
  const where = machine.cpu
    ? `${machine.cpu}, ${machine.cores} cores`
    : `${machine.cores} cores`;
  const notes = [
    `${runtime} on ${where}`,
    `load from ${load}`,
    pinned ? "server and load pinned to a core each" : "not pinned",
    date,
  ];
  if (quick) notes.push("a quick run: too short to be quoted");
  return `${notes.join("; ")}.`;
}

function cell(results: Results, scenario: string, target: string): string {
  const found = figure(results, scenario, target);
  if (!found) return "–";
  const { value, unit, rate } = found;
  const text = `${short(value)} ${unit}`.trim();
  return rate === undefined ? text : `${text} (${Math.round(rate)}/s)`;
}

function ratio(results: Results, scenario: string, target: string): string {
  const own = figure(results, scenario, "ours");
  const other = figure(results, scenario, target);
  return own && other ? `× ${(own.value / other.value).toFixed(2)}` : "–";
}

function short(value: number): string {
  return value.toFixed(
    Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0,
  );
}
