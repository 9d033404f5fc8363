/** Sessions that survive a restart: a SQLite file, and the key of the cookies. */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { SqliteStore } from "@koa-io/session/sqlite";

/** The state that survives a restart. */
export interface Durable {
  readonly store: SqliteStore;
  readonly appKeys: readonly string[];
}

/** Opens the file and the key beside it: with another key, the cookies would be invalid. */
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
