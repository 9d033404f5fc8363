/**
 * The fields of a record that do not change from write to write, and numbers
 * that are stored as small differences.
 *
 * @module
 */
import type { SessionRecord } from "../../api/store.ts";

/**
 * A number as its difference from another one: an integer of 31 bits takes no
 * memory beyond its field, any other number 16 bytes. A number whose difference
 * is none is kept in an array.
 */
export type Packed = number | readonly [number] | undefined;

/** The bounds of an integer that every engine stores in the field itself. */
const SMALL = 2 ** 30;

/** Units of a time with fractions: the doubles of this century are multiples of 1/4096 ms. */
const FRACTIONS = 4_096;

/** Packs a number as a difference from `base`, in units of `1 / unit`. */
export function pack(
  value: number | undefined,
  base: number,
  unit = 1,
): Packed {
  if (value === undefined) return undefined;
  const difference = (value - base) * unit | 0;
  return Math.abs(difference) < SMALL && base + difference / unit === value
    ? difference
    : [value];
}

/** Reverses {@linkcode pack}. */
export function unpack(
  packed: Packed,
  base: number,
  unit = 1,
): number | undefined {
  if (packed === undefined) return undefined;
  return typeof packed === "number" ? base + packed / unit : packed[0];
}

/** The fields that successive records of a session have in common. */
export type OriginFields = Pick<
  SessionRecord,
  "created" | "authenticatedAt" | "arrived" | "meta" | "handle"
>;

/** These fields of a record; successive entries of a session share it. */
export class Origin implements OriginFields {
  readonly created: number | undefined;
  readonly meta: string | undefined;
  readonly handle: string | undefined;
  readonly #authenticatedAt: Packed;
  readonly #arrived: Packed;

  constructor(
    { created, authenticatedAt, arrived, meta, handle }: OriginFields,
  ) {
    this.created = created;
    this.meta = meta;
    this.handle = handle;
    this.#authenticatedAt = pack(authenticatedAt, created ?? 0);
    this.#arrived = pack(arrived, created ?? 0, FRACTIONS);
  }

  get authenticatedAt(): number | undefined {
    return unpack(this.#authenticatedAt, this.created ?? 0);
  }

  get arrived(): number | undefined {
    return unpack(this.#arrived, this.created ?? 0, FRACTIONS);
  }
}

const NONE = new Origin({
  created: undefined,
  authenticatedAt: undefined,
  arrived: undefined,
  meta: undefined,
  handle: undefined,
});

/** The origin of a record: the former entry's, if it is the same. */
export function originOf(
  record: OriginFields,
  former: Origin | undefined,
): Origin {
  if (former && isSame(former, record)) return former;
  return isSame(NONE, record) ? NONE : new Origin(record);
}

function isSame(one: OriginFields, two: OriginFields): boolean {
  return one.created === two.created && one.handle === two.handle &&
    one.meta === two.meta && one.arrived === two.arrived &&
    one.authenticatedAt === two.authenticatedAt;
}
