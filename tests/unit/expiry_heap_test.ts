/** The heap against a list that is sorted each time. */
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import fc from "fast-check";
import { ExpiryHeap, type Scheduled } from "../../src/base/expiry_heap.ts";

interface Item extends Scheduled {
  expires: number;
}

const time = fc.nat({ max: 100 });
const nth = fc.nat();
const step = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant("add"), time, nth) },
  fc.tuple(fc.constant("prolong"), time, nth),
  fc.tuple(fc.constant("replace"), time, nth),
  fc.tuple(fc.constant("remove"), time, nth),
  fc.tuple(fc.constant("take"), time, nth),
);

describe("ExpiryHeap", () => {
  it("removes the expired entries in order, after any inserts, moves and removals", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const heap = new ExpiryHeap<Item>();
        const all = new Set<Item>();
        for (const [what, at, n] of steps) {
          const item = [...all][n % all.size];
          if (what === "add") {
            const added = { slot: -1, expires: at };
            all.add(added);
            heap.schedule(added);
          } else if (what === "take") {
            const due = [...all].filter(({ expires }) => expires <= at);
            for (let left = due.length; left > 0; left--) {
              const taken = heap.take(at)!;
              assertEquals([taken.expires <= at, taken.slot], [true, -1]);
              assertEquals(all.delete(taken), true);
            }
            assertEquals(heap.take(at), undefined);
          } else if (item && what === "prolong") {
            item.expires += at;
          } else if (item) {
            all.delete(item);
            if (what === "remove") heap.remove(item);
            else {
              const next = { slot: -1, expires: at };
              all.add(next);
              heap.replace(item, next);
            }
          }
          assertEquals(heap.size, all.size);
          const ends = [...all].map(({ expires }) => expires);
          assertEquals((heap.next ?? -1) <= Math.min(...ends), true);
        }
      }),
      { numRuns: 500 },
    );
  });
});
