/** Stores a session in a file, and ends: `<URL of the store's module> <file>`. */
import process from "node:process";

const { SqliteStore } = await import(process.argv[2]!);
const store = new SqliteStore({ path: process.argv[3]! });
const expires = Date.now() + 60_000;
await store.write("sid", { data: "{}", maxAge: 60_000, expires }, null);
console.log("stored");
