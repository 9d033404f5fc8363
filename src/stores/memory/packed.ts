/**
 * Numbers that are stored as small differences.
 *
 * @module
 */

/**
 * A number as its difference from another one: an integer of 31 bits takes no
 * memory beyond its field, any other number 16 bytes. A large number whose
 * difference is none is kept as it is, any other in an array.
 */
export type Packed = number | readonly [number] | undefined;

/** The bound of differences: every engine stores such integers in the field itself. */
const SMALL = 2 ** 30;

/** Packs a number as a difference from `base`, in units of `1 / unit`. */
export function pack(
  value: number | undefined,
  base: number,
  unit = 1,
): Packed {
  if (value === undefined) return undefined;
  const difference = (value - base) * unit | 0;
  if (isSmall(difference) && base + difference / unit === value) {
    return difference;
  }
  return isSmall(value) ? [value] : value;
}

/** Reverses {@linkcode pack}. */
export function unpack(
  packed: Packed,
  base: number,
  unit = 1,
): number | undefined {
  if (packed === undefined) return undefined;
  if (typeof packed !== "number") return packed[0];
  return isSmall(packed) ? base + packed / unit : packed;
}

function isSmall(value: number): boolean {
  return Math.abs(value) < SMALL;
}
