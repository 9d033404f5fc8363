/** Renewals of a cookie, judged by when they were asked for: a machine may be busy for as long as a short session lives. */
import { assertGreaterOrEqual, assertLessOrEqual } from "@std/assert";
import type { Answer } from "./browser.ts";
import { KEY } from "./cookies.ts";
import { pause, until } from "./wait.ts";

/**
 * Stores a session and reads it until its cookie is renewed: in the second half of its life, and not before.
 *
 * @param maxAge its life, in ms
 * @param check receives each answer that came while it lived
 */
export async function untilRenewed(
  { store, read, maxAge, check }: {
    store: () => Promise<unknown>;
    read: () => Promise<Answer>;
    maxAge: number;
    check: (answer: Answer) => void;
  },
): Promise<void> {
  await until(async () => {
    const before = Date.now();
    await store();
    const stored = Date.now();
    while (true) {
      const asked = Date.now();
      const answer = await read();
      // too late: the session may be over
      if (Date.now() >= before + maxAge) return false;
      check(answer);
      if (answer.cookie(KEY)) {
        assertGreaterOrEqual(Date.now(), before + maxAge / 2);
        return true;
      }
      assertLessOrEqual(asked, stored + maxAge / 2);
      await pause(20);
    }
  }, "a renewal");
}
