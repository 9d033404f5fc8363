/** A pool whose connections are cut while a statement is under way. */
// @ts-types="@types/pg"
import type pg from "pg";

/** When a connection is cut: before the server has the statement, or once it has run. */
export type Moment = "before" | "after";

/** Fails the next statement as a connection that is cut then. */
export function cutNext(pool: pg.Pool, moment: Moment): void {
  const query = pool.query;
  Object.assign(pool, {
    async query(...args: unknown[]) {
      pool.query = query;
      if (moment === "after") await Reflect.apply(query, pool, args);
      throw new Error("Connection terminated unexpectedly");
    },
  });
}
