/** Opens a file and reads a session in it: `<URL of the store's module> <file>`. */
import process from "node:process";

const { SqliteStore } = await import(process.argv[2]!);
const store = new SqliteStore({ path: process.argv[3]! });
console.log((await store.read("sid")).version);
store.close();
