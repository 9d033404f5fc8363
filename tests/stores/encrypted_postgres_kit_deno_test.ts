import { encrypted } from "@koa-io/session/encrypted";
import { randomBytes } from "node:crypto";
import { postgresKit } from "../support/postgres/kit.ts";

const keys = [randomBytes(32)];

postgresKit(
  "the conformance kit, on an encrypted PostgresStore",
  async (stores, pool) => encrypted(await stores.open({ pool }), { keys }),
);
