/**
 * The Pool of the package `pg`, described by the members that are used: the
 * package is not imported, so that its types are not needed.
 *
 * @module
 */

/** A query as the pool accepts it. It never has a name: named statements fail behind PgBouncer. */
export interface PostgresQuery {
  /** The statement, or several of them without values. */
  text: string;
  /** The values of `$1` and so on. */
  // deno-lint-ignore no-explicit-any
  values?: any[];
  /** Takes the place of the application's parsers in this query. */
  // deno-lint-ignore no-explicit-any
  types?: any;
}

/** A Pool of the package `pg`, version 8. */
export interface PostgresPool {
  /** Runs a query on any connection of the pool. */
  query(
    query: PostgresQuery,
    // deno-lint-ignore no-explicit-any
  ): Promise<{ rows: any[] }>;
  /** Takes a connection; a Client has a method of the same name. */
  // deno-lint-ignore no-explicit-any
  connect(): Promise<any>;
  /** Adds a listener, as Node's `EventEmitter` does. */
  // deno-lint-ignore no-explicit-any
  on(event: "error", listener: (error: Error) => void): any;
  /** How many connections there are; distinguishes a Pool from a Client. */
  readonly totalCount: number;
  /** Whether `end()` was called. */
  readonly ending?: boolean | undefined;
  /** Whether `end()` was called, and every connection is closed. */
  readonly ended?: boolean | undefined;
}

/** The members of a Pool that its types do not have. */
interface PoolInternals {
  readonly options?: object;
  readonly Client?: new (options: object) => PostgresClient;
  off?(event: "error", listener: (error: Error) => void): unknown;
}

/** A connection of the store's own. */
export interface PostgresClient {
  connect(): Promise<unknown>;
  query(query: PostgresQuery): Promise<unknown>;
  on(event: string, listener: (...args: never[]) => void): unknown;
  end(): Promise<void>;
  unref?(): void;
  readonly connection?: { readonly stream?: { destroy?(): void } };
}

/** Whether `end()` of a pool was called. */
export function hasEnded(pool: PostgresPool): boolean {
  return pool.ending === true || pool.ended === true;
}

/** A new client to the pool's database, outside of the pool; `undefined` where the pool does not say how. */
export function newClient(pool: PostgresPool): PostgresClient | undefined {
  const { Client, options } = pool as PoolInternals;
  return Client && options ? new Client(options) : undefined;
}

/** Ignores the pool's errors, which would end a process without a listener; returns how to stop. */
export function ignoreErrors(pool: PostgresPool): () => void {
  const ignore = () => {};
  pool.on("error", ignore);
  return () => void (pool as PoolInternals).off?.("error", ignore);
}
