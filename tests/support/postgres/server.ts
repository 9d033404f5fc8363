/** The PostgreSQL of tests: the machine's own where it runs, else one that is started. */
import { afterAll, beforeAll } from "@std/testing/bdd";
import { itNeeds, postgresBin } from "../requires.ts";
import {
  type Address,
  answers,
  type Postgres,
  startPostgres,
} from "./cluster.ts";

/** Where the machine's own server is expected, without a password. */
const OWN: Address = {
  host: "127.0.0.1",
  port: 5432,
  user: "postgres",
  database: "test",
};

/** A test that needs PostgreSQL; see {@linkcode itNeeds}. */
export function itNeedsPostgres(
  name: string,
  body: () => Promise<void>,
): void {
  itNeeds("PostgreSQL", postgresBin(), name, body);
}

/**
 * Finds or starts a server before the tests of the current `describe`. Does
 * nothing where there is none.
 *
 * @param use is handed its address
 */
export function withPostgres(use: (address: Address) => void): void {
  let started: Postgres | undefined;
  beforeAll(async () => {
    if (!postgresBin()) return;
    if (await answers(OWN)) return use(OWN);
    started = await startPostgres();
    use(started.address);
  });
  afterAll(async () => {
    await started?.remove();
  });
}

/** Starts a server of its own before the tests of the current `describe`, and removes it after them. */
export function withOwnPostgres(use: (server: Postgres) => void): void {
  let server: Postgres | undefined;
  beforeAll(async () => {
    if (postgresBin()) use(server = await startPostgres());
  });
  afterAll(async () => {
    await server?.remove();
  });
}
