import type { BasicStore } from "@koa-io/session";
import { SessionStore } from "@koa-io/session";
import { type StoreRule, storeRules, testStore } from "@koa-io/session/testing";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { NONCONFORMING_ATOMIC } from "../support/stores/nonconforming_atomic.ts";
import { NONCONFORMING_BASIC } from "../support/stores/nonconforming_basic.ts";
import { NONCONFORMING_MOVES } from "../support/stores/nonconforming_moves.ts";
import { NONCONFORMING_SHARED } from "../support/stores/nonconforming_shared.ts";
import type { Breakage, Faults } from "../support/stores/nonconformity.ts";
import { referenceStore } from "../support/stores/reference_store.ts";

const TTL = 200;

/** By the name of a rule: the faults of a store that breaks it. */
const NONCONFORMING: Readonly<Record<string, Breakage>> = {
  ...NONCONFORMING_BASIC,
  ...NONCONFORMING_ATOMIC,
  ...NONCONFORMING_MOVES,
  ...NONCONFORMING_SHARED,
};

/** The rules of the basic tier that atomic stores are not held to come from a store without scope. */
function allRules() {
  const { scope: _, ...basic } = referenceStore();
  const rules = [
    ...storeRules(basic as BasicStore),
    ...storeRules(referenceStore(), { peer: true }),
  ];
  return [...new Map(rules.map((rule) => [rule.name, rule])).values()];
}

/** How a rule fails on a store that breaks it. */
async function failure(rule: StoreRule): Promise<unknown> {
  const good = referenceStore();
  const { peer, ...own } = NONCONFORMING[rule.name]!(good) as Faults & {
    peer?: Faults;
  };
  const broken = { ...good, ...own };
  const other = { ...good.peer(), ...peer };
  try {
    return await rule.run(broken, { ttl: TTL, peer: () => other })
      .then(() => undefined, (error) => error ?? "nothing");
  } finally {
    good.close();
  }
}

describe("storeRules", () => {
  void testStore("a store that keeps them", referenceStore, {
    describe,
    it,
    peer: (store) => store.peer(),
    ttl: TTL,
  });

  for (const tier of ["basic", "atomic", "shared"] as const) {
    it(`each rule of the ${tier} tier fails on a store that breaks it`, async () => {
      const rules = allRules().filter((rule) => rule.tier === tier);
      // side by side, as some have to wait, but for those that move the clock
      const clock = rules.filter(({ name }) => name.startsWith("former:"));
      const errors = await Promise.all(
        rules.map((rule) => clock.includes(rule) || failure(rule)),
      );
      for (const rule of clock) {
        errors[rules.indexOf(rule)] = await failure(rule);
      }
      assertEquals(
        rules.filter((_, i) => errors[i] === undefined).map(({ name }) => name),
        [],
        "there are rules that a broken store keeps",
      );
      const mistakes = errors.filter((error) => error instanceof TypeError);
      assertEquals(mistakes, []);
    });
  }

  it("each rule has a store that breaks it, and each such store a rule", () => {
    assertEquals(
      allRules().map(({ name }) => name).toSorted(),
      Object.keys(NONCONFORMING).toSorted(),
    );
  });

  it("derives the tiers from the store's members", () => {
    const tiers = (store: Parameters<typeof storeRules>[0]) => [
      ...new Set(storeRules(store).map(({ tier }) => tier)),
    ];
    const { scope: _, ...basic } = referenceStore();
    assertEquals(tiers(basic as BasicStore), ["basic"]);
    assertEquals(tiers(new SessionStore({ autoCleanup: false })), [
      "basic",
      "atomic",
    ]);
    assertEquals(tiers(referenceStore()), ["basic", "atomic", "shared"]);
    assertThrows(() => storeRules({} as BasicStore), TypeError, "scope");
  });

  it("leaves rules on two stores out without a peer", async () => {
    assert(storeRules(referenceStore()).every(({ needsPeer }) => !needsPeer));
    const rules = storeRules(referenceStore(), { peer: true });
    const rule = rules.find(({ needsPeer }) => needsPeer)!;
    await assertRejects(() => rule.run(referenceStore()), TypeError, "peer");
  });
});

describe("testStore", () => {
  it("registers a test for each rule, on a store of its own, which it closes", async () => {
    const log: string[] = [];
    const bodies: (() => Promise<void>)[] = [];
    const factory = () => {
      log.push("made");
      const store = new SessionStore({ autoCleanup: false });
      return Object.assign(store, { close: () => void log.push("closed") });
    };
    await testStore("mine", factory, {
      describe: (name, body) => {
        log.push(name);
        body();
      },
      it: (_name, body) => bodies.push(body),
    });
    assertEquals(log, ["made", "mine", "basic tier", "atomic tier", "closed"]);
    assertEquals(
      bodies.length,
      storeRules(new SessionStore({ autoCleanup: false })).length,
    );
    log.length = 0;
    await bodies[0]!();
    assertEquals(log, ["made", "closed"]);
  });

  it("closes the store of a test that fails", async () => {
    const bodies: (() => Promise<void>)[] = [];
    let open = 0;
    await testStore("broken", () => {
      open++;
      return { get: () => ({}), set: () => {}, destroy: () => {} };
    }, {
      describe: (_name, body) => body(),
      it: (_name, body) => bodies.push(body),
      dispose: () => open--,
    });
    await assertRejects(() => bodies[0]!());
    assertEquals(open, 0);
  });

  it("awaits a factory that is asynchronous", async () => {
    let n = 0;
    await testStore("later", () => Promise.resolve(referenceStore()), {
      describe: (_name, body) => body(),
      it: () => n++,
    });
    assertEquals(n, storeRules(referenceStore()).length);
  });
});
