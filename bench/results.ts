/** The format of the results. */

/** One figure of one target. */
export interface Figure {
  /** The scenario: a row of the table. */
  readonly scenario: string;
  /** The target: a column of the table. */
  readonly target: string;
  readonly value: number;
  readonly unit: string;
  /** Operations per second, if measured. */
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
