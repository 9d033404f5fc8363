/** The figures as an SVG chart: CPU time per operation, by scenario and target. */
import { parse, View } from "npm:vega@^6.2.0";
import { compile, type TopLevelSpec } from "npm:vega-lite@^6.4.0";
import type { Results } from "./results.ts";

const TARGETS = ["bare", "koa-session", "express-session", "ours"];
const COLOURS = ["#b8c0cc", "#e8a33d", "#8f7bd6", "#1f7a5c"];

/** The scenarios of all targets, or of all targets with sockets. */
const CHARTED = [
  "HTTP, read",
  "HTTP, change",
  "HTTP, untouched",
  "socket, read",
  "socket, increment",
];

/** Draws the runs, one column per runtime. */
export async function chart(all: readonly Results[]): Promise<string> {
  const values = all.flatMap(({ runtime, figures }) =>
    figures
      .filter(({ scenario }) => CHARTED.includes(scenario))
      .map((figure) => ({ ...figure, runtime }))
  );
  const spec: TopLevelSpec = {
    background: "white",
    data: { values },
    facet: {
      row: {
        field: "scenario",
        sort: CHARTED,
        title: null,
        header: { labelAngle: 0, labelOrient: "top", labelAnchor: "start" },
      },
      column: { field: "runtime", title: null },
    },
    spec: {
      width: 260,
      height: { step: 15 },
      encoding: {
        y: { field: "target", sort: TARGETS, title: null, axis: null },
        x: {
          field: "value",
          type: "quantitative",
          title: "server CPU, µs per operation",
        },
      },
      layer: [
        {
          mark: "bar",
          encoding: {
            color: {
              field: "target",
              sort: TARGETS,
              scale: { domain: TARGETS, range: COLOURS },
              legend: { title: null, orient: "bottom" },
            },
          },
        },
        {
          mark: { type: "text", align: "left", dx: 3, fontSize: 10 },
          encoding: { text: { field: "value", format: ".1f" } },
        },
      ],
    },
  };
  return await new View(parse(compile(spec).spec), { renderer: "none" })
    .toSVG();
}
