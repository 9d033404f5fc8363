/**
 * The conformance kit: one call tests a store against every rule of its tier of
 * the store contract, with any `describe` and `it`.
 *
 * @example A store that koa-session could use, tested by Deno
 * ```ts ignore
 * import { describe, it } from "@std/testing/bdd";
 * import { testStore } from "@koa-io/session/testing";
 * import { MyStore } from "./my_store.ts";
 *
 * testStore("MyStore", () => new MyStore(), { describe, it });
 * ```
 *
 * @example A store for many processes, tested by Node's own runner
 * ```ts ignore
 * import { SqliteStore } from "@koa-io/session/sqlite";
 * import { testStore } from "@koa-io/session/testing";
 *
 * const open = () => new SqliteStore({ path: "test.db" });
 * testStore("SqliteStore", open, { peer: open });
 * ```
 *
 * @module
 */
import { describe as nodeDescribe, it as nodeIt } from "node:test";
import type { SharedStore } from "./api/store.ts";
import { chain } from "./base/async.ts";
import { ACQUIRE_RULES } from "./testing/acquire_rules.ts";
import { basicRules } from "./testing/basic_rules.ts";
import { BEGIN_RULES } from "./testing/begin_rules.ts";
import { COMMIT_RULES } from "./testing/commit_rules.ts";
import { LEASE_MOVE_RULES } from "./testing/lease_move_rules.ts";
import { LIFE_RULES } from "./testing/life_rules.ts";
import { MOVE_RULES } from "./testing/move_rules.ts";
import { PEER_RULES } from "./testing/peer_rules.ts";
import type {
  RuleContext,
  StoreRule,
  StoreTier,
  TestableStore,
} from "./testing/kit.ts";
import { SCAN_RULES } from "./testing/scan_rules.ts";
import { WRITE_RULES } from "./testing/write_rules.ts";

export type * from "./api/store_contract.ts";

export type { RuleContext, StoreRule, StoreTier, TestableStore };

/** How {@linkcode testStore} runs its rules. */
export interface TestStoreOptions<S extends TestableStore = TestableStore> {
  /**
   * Defines a group of tests.
   *
   * @default the global `describe`, else the one of `node:test`
   */
  readonly describe?:
    | ((name: string, body: () => void) => unknown)
    | undefined;
  /**
   * Defines a test.
   *
   * @default the global `it`, else the one of `node:test`
   */
  readonly it?:
    | ((name: string, body: () => Promise<void>) => unknown)
    | undefined;
  /**
   * Opens the sessions of `store` a second time, as another process would.
   * Without it, rules on two stores are omitted.
   */
  readonly peer?:
    | ((store: S) => SharedStore | Promise<SharedStore>)
    | undefined;
  /**
   * Closes a store that the factory returned.
   *
   * @default `store.close?.()`
   */
  readonly dispose?: ((store: S) => unknown) | undefined;
  /** See {@linkcode RuleContext.ttl}. */
  readonly ttl?: number | undefined;
}

/**
 * The rules for a store, to be run one by one. Its members decide which: with
 * `scope` it is a store of the atomic tier, with `scope: "shared"` also of the
 * shared tier, and with `get` and `set` of the basic tier.
 *
 * @param store its members are examined; no method is called
 * @param options `peer`: whether to include the rules on two stores
 * @returns the rules of all its tiers
 * @throws {TypeError} when the store is of no tier
 *
 * @example
 * ```ts
 * import { SessionStore } from "@koa-io/session";
 * import { storeRules } from "@koa-io/session/testing";
 *
 * for (const rule of storeRules(new SessionStore())) {
 *   if (rule.name.startsWith("destroy:")) await rule.run(new SessionStore());
 * }
 * ```
 */
export function storeRules(
  store: TestableStore,
  options: { readonly peer?: boolean } = {},
): StoreRule[] {
  const rules: StoreRule[] = [];
  if ("get" in store && "set" in store) rules.push(...basicRules(store));
  if ("scope" in store) {
    rules.push(...WRITE_RULES, ...BEGIN_RULES, ...LIFE_RULES, ...MOVE_RULES);
    rules.push(...SCAN_RULES);
  }
  if ("scope" in store && store.scope === "shared") {
    rules.push(...ACQUIRE_RULES, ...COMMIT_RULES, ...LEASE_MOVE_RULES);
    if (options.peer) rules.push(...PEER_RULES);
  }
  if (rules.length === 0) {
    throw new TypeError(
      "Cannot test the store as it must have a scope, or get and set: received neither",
    );
  }
  return rules;
}

/**
 * Registers a test for each rule for a store, see {@linkcode storeRules}. Each
 * runs on a store of its own.
 *
 * Sessions of the basic tier live for at least a second, so the tests take
 * about ten seconds. No rule needs an empty store: ids are random.
 *
 * @param name the name of the group of tests
 * @param factory returns a store for each test; one more call, made at once, serves to select the rules
 * @param options see {@linkcode TestStoreOptions}
 * @returns a promise that must be awaited where the factory is asynchronous:
 * the tests are registered then; otherwise before the call returns
 * @throws {TypeError} when the factory returns no store
 *
 * @example
 * ```ts
 * import { SessionStore } from "@koa-io/session";
 * import { testStore } from "@koa-io/session/testing";
 *
 * const tests: (() => Promise<void>)[] = [];
 * testStore("SessionStore", () => new SessionStore(), {
 *   describe: (_name, body) => body(),
 *   it: (_name, body) => tests.push(body),
 * });
 * await tests[0]!();
 * ```
 */
export function testStore<S extends TestableStore>(
  name: string,
  factory: () => S | Promise<S>,
  options: TestStoreOptions<S> = {},
): Promise<void> {
  // dnt-shim-ignore
  const runner = globalThis as {
    readonly describe?: TestStoreOptions["describe"];
    readonly it?: TestStoreOptions["it"];
  };
  const describe = options.describe ?? runner.describe ?? nodeDescribe;
  const it = options.it ?? runner.it ?? nodeIt;
  const { peer, ttl } = options;
  const dispose = options.dispose ?? closeStore;

  const register = (example: S) => {
    const rules = storeRules(example, { peer: peer !== undefined });
    describe(name, () => {
      for (const tier of ["basic", "atomic", "shared"] as const) {
        const ofTier = rules.filter((rule) => rule.tier === tier);
        if (ofTier.length === 0) continue;
        describe(`${tier} tier`, () => {
          for (const rule of ofTier) it(rule.name, () => runRule(rule));
        });
      }
    });
    return dispose(example);
  };

  const runRule = async (rule: StoreRule) => {
    const store = await factory();
    try {
      await rule.run(store, { ttl, peer: peer && (() => peer(store)) });
    } finally {
      await dispose(store);
    }
  };

  return Promise.resolve(chain(factory(), register)).then(() => {});
}

function closeStore(store: TestableStore): unknown {
  return "close" in store ? store.close?.() : undefined;
}
