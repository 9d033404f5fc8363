import { assertEquals, assertFalse } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import fc from "fast-check";
import { pack, unpack } from "../../src/stores/memory/packed.ts";

const NOW = 1_795_000_000_000;

describe("pack", () => {
  it("keeps any number, by any base", () => {
    const numbers = fc.oneof(
      fc.double({ noNaN: true }),
      fc.integer(),
      fc.constantFrom(0, 2 ** 30, -(2 ** 30), 2 ** 30 - 1, NOW, -Infinity),
      fc.integer({ min: -(2 ** 32), max: 2 ** 32 }).map((n) => NOW + n),
      fc.integer({ min: 0, max: 2 ** 32 }).map((n) => NOW + n / 4_096),
    );
    const units = fc.constantFrom(1, 4_096);
    fc.assert(
      fc.property(numbers, numbers, units, (value, base, unit) => {
        const finite = Number.isFinite(base) ? base : NOW;
        const back = unpack(pack(value, finite, unit), finite, unit);
        // the sign of zero does not matter
        assertEquals(back! + 0, value + 0);
      }),
      { numRuns: 2_000 },
    );
  });

  it("keeps undefined", () => {
    assertEquals(unpack(pack(undefined, NOW), NOW), undefined);
  });

  it("makes times of the last days small integers", () => {
    assertEquals(pack(NOW - 5, NOW), -5);
    assertEquals(pack(NOW + 0.25, NOW, 4_096), 1_024);
  });

  it("makes no object of a time that is further away", () => {
    assertFalse(typeof pack(NOW - 40 * 86_400_000, NOW) === "object");
  });
});
