/** What was measured, as it is kept. */

/** One figure of one target. */
export interface Figure {
  /** What was measured: a row of the table. */
  readonly scenario: string;
  /** Who was measured: a column. */
  readonly target: string;
  readonly value: number;
  readonly unit: string;
  /** Operations per second, where they were counted. */
  readonly rate?: number;
}

/** A whole run on one runtime. */
export interface Results {
  readonly date: string;
  readonly runtime: string;
  readonly load: string;
  readonly machine: { readonly cpu: string; readonly cores: number };
  readonly pinned: boolean;
  readonly quick: boolean;
  readonly figures: readonly Figure[];
}

/** The figure of a target in a scenario. */
export function figure(
  { figures }: Results,
  scenario: string,
  target: string,
): Figure | undefined {
  return figures.find((one) =>
    one.scenario === scenario && one.target === target
  );
}
