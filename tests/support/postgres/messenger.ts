/** The adapter of Socket.IO that carries messages through PostgreSQL. */
import { createAdapter } from "@socket.io/postgres-adapter";
// @ts-types="@types/pg"
import pg from "pg";
import type { AdapterFactory } from "../cluster/messengers.ts";
import type { Address } from "./cluster.ts";

/**
 * A pool of the messenger's own: its adapter keeps a connection of it, and
 * never returns those that were lost.
 */
export function messengerPool(address: Address): pg.Pool {
  const pool = new pg.Pool({ ...address, max: 20 });
  pool.on("error", () => {});
  // the adapter has no listener on the connection that it keeps
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

/** Makes the adapter. */
export async function postgresAdapter(
  pool: pg.Pool,
  channel: string,
): Promise<AdapterFactory> {
  const { rows } = await pool.query(
    "SELECT to_regclass('socket_io_attachments') AS found",
  );
  if (rows[0].found === null) {
    await pool.query(
      `SELECT pg_advisory_xact_lock(1);
       CREATE TABLE IF NOT EXISTS socket_io_attachments (
         id bigserial UNIQUE, created_at timestamptz DEFAULT now(), payload bytea)`,
    );
  }
  return createAdapter(pool, {
    channelPrefix: channel,
    heartbeatInterval: 1_000,
    errorHandler: () => {},
  }) as unknown as AdapterFactory;
}
