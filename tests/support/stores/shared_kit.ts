/** The conformance kit on stores of the shared tier, of which each test opens two. */
import type { SharedStore } from "@koa-io/session";
import { storeRules } from "@koa-io/session/testing";

/**
 * Declares a test for each rule.
 *
 * @param itNeeds declares a test that needs the store's server
 * @param open opens store 0, the one that is tested, or 1, its peer
 */
export function sharedKit(
  itNeeds: (name: string, body: () => Promise<void>) => void,
  open: (n: 0 | 1) => SharedStore | Promise<SharedStore>,
): void {
  const shared = { scope: "shared" } as SharedStore;
  for (const rule of storeRules(shared, { peer: true })) {
    itNeeds(rule.name, async () => {
      const store = await open(0);
      try {
        await rule.run(store, { peer: () => open(1) });
      } finally {
        await store.close();
      }
    });
  }
}
