/** Percentile, median, and the confidence interval of a median. */

/** The value below which `percent` of the values lie. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = Math.min(
    sorted.length - 1,
    Math.floor(sorted.length * percent / 100),
  );
  return sorted[at] ?? NaN;
}

/** The middle of the values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[half]!
    : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** A median with its 95 % confidence interval. */
export interface Interval {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * The median with the interval that the order statistics give: it assumes no
 * distribution of the values.
 */
export function medianInterval(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const { length } = sorted;
  const rank = Math.floor((length - 1.96 * Math.sqrt(length)) / 2);
  const at = Math.max(0, rank);
  return {
    median: median(sorted),
    low: sorted[at] ?? NaN,
    high: sorted[length - 1 - at] ?? NaN,
  };
}
