/** Sessions that outlive the process: a SQLite file, and the key that goes with it. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { SqliteStore } from "@koa-io/session/sqlite";

/** What a server needs to go on where another one ended. */
export interface Durable {
  readonly store: SqliteStore;
  readonly appKeys: readonly string[];
}

/** Opens the file, and the key beside it: cookies signed with another would be worth nothing. */
export async function openDurable(path: string): Promise<Durable> {
  // loaded on demand: Node 20 has no node:sqlite
  const { SqliteStore } = await import("@koa-io/session/sqlite");
  const keyPath = `${path}.key`;
  if (!existsSync(keyPath)) {
    const key = randomBytes(32).toString("base64url");
    writeFileSync(keyPath, key, { mode: 0o600, flag: "wx" });
  }
  return {
    store: new SqliteStore({ path }),
    appKeys: [readFileSync(keyPath, "utf8")],
  };
}
