/** Opens a store with a running timer, and ends. */
import process from "node:process";

const { SessionStore } = await import(process.argv[2]!);
const store = new SessionStore({ maxAge: 600_000, autoCleanupMs: 300_000 });
store.set("a", { n: 1 });
