import { assertEquals, assertInstanceOf } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { SessionStoreError, type Version } from "@koa-io/session";
import { RedisStore } from "@koa-io/session/redis";
import { newKeys } from "../support/cluster/messengers.ts";
import { openClient, type OwnedClient } from "../support/redis/clients.ts";
import {
  itNeedsRedis,
  type RedisServer,
  withRedisServer,
} from "../support/redis/server.ts";
import { closeServers, type TestOptions } from "../support/server.ts";
import { type Scenario, startScenario } from "../support/scenario.ts";
import { collect, deferred, once, pause, until } from "../support/wait.ts";

type Versions = readonly (Version | undefined)[];

/** A store with a slow answer to the reconciliation, and to nothing else. */
class SlowVersionsStore extends RedisStore {
  /** Settles before `versions` answers. */
  delay: () => Promise<void> = () => Promise.resolve();
  /** Calls of `versions`, and those without an answer so far. */
  calls = 0;
  pending = 0;

  override async versions(sids: readonly string[]): Promise<Versions> {
    this.calls++;
    this.pending++;
    try {
      await this.delay();
      return await super.versions(sids);
    } finally {
      this.pending--;
    }
  }
}

describe("The reconciliation", () => {
  let server: RedisServer;
  let owned: OwnedClient | undefined;
  let store: SlowVersionsStore | undefined;
  withRedisServer((started) => server = started);
  afterEach(async () => {
    await closeServers();
    await until(() => !store?.pending, "the answers of the store");
    await store?.close();
    await owned?.close();
    store = owned = undefined;
  });

  /** A session with a socket, which the reconciliation compares. */
  async function start(
    delay: () => Promise<void>,
    options: TestOptions,
  ): Promise<{ scenario: Scenario; store: SlowVersionsStore }> {
    owned = await openClient("redis", server.port);
    const { prefix } = newKeys();
    store = new SlowVersionsStore({ client: owned.client, prefix });
    store.delay = delay;
    const scenario = await startScenario({
      store,
      reconcileInterval: 50,
      ...options,
    });
    const { connect } = await scenario.visit();
    await connect();
    return { scenario, store };
  }

  itNeedsRedis(
    "fails with a SessionStoreError when the store takes longer than storeTimeout",
    async () => {
      const gate = deferred();
      const { scenario } = await start(() => gate.promise, {
        storeTimeout: 200,
      });
      const [error] = await once<[Error]>(scenario.bridge, "error", {
        timeout: 3_000,
      }).finally(gate.resolve);
      assertInstanceOf(error, SessionStoreError);
      assertEquals(error.code, "SESSION_STORE");
      assertEquals(
        (error.cause as Error).message,
        "no answer within 200 ms",
      );
    },
  );

  itNeedsRedis(
    "waits for a store that answers within storeTimeout",
    async () => {
      const { scenario, store } = await start(() => pause(150), {
        storeTimeout: 4_000,
      });
      const errors = collect(scenario.bridge, "error");
      // a comparison begins once the one before it has succeeded or failed
      await until(() => store.calls >= 3, "three comparisons");
      assertEquals(errors, []);
    },
  );
});
