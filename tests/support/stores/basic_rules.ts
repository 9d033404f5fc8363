/** The basic rules of the conformance kit, for a store that is opened once. */
import type { BasicStore } from "@koa-io/session";
import { storeRules } from "@koa-io/session/testing";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import { openClient, type OwnedClient } from "../redis/clients.ts";
import { itNeedsRedis, startRedis } from "../redis/server.ts";
import { redisServerPath } from "../requires.ts";

/** Registers a function that closes what was opened. */
export type Closing = (how: () => unknown) => void;

/** What a store is made with. */
export interface OnRedis {
  readonly client: OwnedClient["client"];
  readonly port: number;
  readonly close: Closing;
}

/** How a store is described by the basic rules. */
export interface Described {
  /** Registers a test that needs a server. */
  readonly it: (name: string, body: () => Promise<void>) => void;
  /** Whether the server is there. */
  readonly isThere: boolean;
  /** Rules of this name are left out. */
  readonly without?: RegExp;
  open(close: Closing): BasicStore | Promise<BasicStore>;
}

/** Describes a store by the basic rules. */
export function describeBasic(
  name: string,
  { it, isThere, without, open }: Described,
): void {
  describe(name, () => {
    const closing: (() => unknown)[] = [];
    let store: BasicStore;

    beforeAll(async () => {
      if (isThere) store = await open((how) => void closing.unshift(how));
    });
    afterAll(async () => {
      for (const close of closing) await close();
    });

    for (
      const rule of storeRules({ get() {}, set() {}, destroy() {} } as never)
    ) {
      if (!without?.test(rule.name)) it(rule.name, () => rule.run(store));
    }
  });
}

/** The same on a Redis of its own. */
export function describeOnRedis(
  name: string,
  open: (redis: OnRedis) => BasicStore | Promise<BasicStore>,
  without?: RegExp,
): void {
  describeBasic(name, {
    it: itNeedsRedis,
    isThere: redisServerPath() !== undefined,
    ...without && { without },
    async open(close) {
      const server = await startRedis();
      close(() => server.stop());
      const owned = await openClient("redis", server.port);
      close(() => owned.close());
      return await open({ client: owned.client, port: server.port, close });
    },
  });
}
