/**
 * The process that measures how long the event loop is blocked while expired
 * sessions are removed from a large store.
 */
import { SessionStore } from "@koa-io/session";
import { serveCommands } from "./control.ts";

const LONG = 3_600_000;

/** The longest time between two turns of the event loop until `done`, in ms. */
async function longestStall(done: () => boolean): Promise<number> {
  let longest = 0;
  let last = performance.now();
  while (!done()) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
}

const commands = {
  /** Lets 1 % of `count` sessions expire at the same time. */
  async expire(count: number): Promise<{ stall: number; quiet: number }> {
    using store = new SessionStore({ autoCleanupMs: 1_000 });
    const expiring = Math.ceil(count / 100);
    const session = { user: "ada", count: 1 };
    const end = performance.now() + 2_000 + count / 100;
    for (let i = 0; i < count; i++) {
      const left = Math.max(1, end - performance.now());
      store.set(`session-${i}`, session, i % 100 === 0 ? left : LONG);
    }
    (globalThis as { gc?: () => void }).gc?.();
    // without clean-up, as a baseline for the machine
    const until = performance.now() + 1_000;
    const quiet = await longestStall(() => performance.now() > until);
    const left = count - expiring;
    const stall = await longestStall(() => store.size === left);
    return { stall, quiet };
  },
};

/** The commands of this process. */
export type CleanupCommands = typeof commands;

await serveCommands(commands);
