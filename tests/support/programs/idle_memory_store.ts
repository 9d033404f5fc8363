/** Makes a store whose timer runs, and has nothing else to do. */
import process from "node:process";

const { SessionStore } = await import(process.argv[2]!);
const store = new SessionStore({ maxAge: 600_000, autoCleanupMs: 300_000 });
store.set("a", { n: 1 });
