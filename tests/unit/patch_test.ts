import { isDeepStrictEqual } from "node:util";
import { parseOwned } from "../../src/base/owned_json.ts";
import { describe, it } from "@std/testing/bdd";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import fc from "fast-check";
import {
  applyPatch,
  assignDeep,
  diff,
  merge,
  type Resolve,
} from "../../src/transaction/patch.ts";

type Data = Record<string, unknown>;

/** Names with a meaning of their own, which a session's keys must not have. */
const TRICKY = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "0",
  "",
];

const key = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("a", "b", "c", "d", "e") },
  { weight: 2, arbitrary: fc.constantFrom(...TRICKY) },
  { weight: 1, arbitrary: fc.string({ maxLength: 5 }) },
);

/** An object as JSON.parse makes it: `__proto__` is a key like any other. */
function fromEntries(entries: readonly (readonly [string, unknown])[]): Data {
  return Object.fromEntries(entries);
}

const leaf = fc.oneof(
  fc.constantFrom(null, true, false, "", "x"),
  fc.integer({ min: 0, max: 3 }),
  fc.string({ maxLength: 4 }),
);
const { value } = fc.letrec<{ value: unknown; object: Data; array: unknown[] }>(
  (tie) => ({
    value: fc.oneof({ maxDepth: 3 }, leaf, tie("array"), tie("object")),
    array: fc.array(tie("value"), { maxLength: 3 }),
    object: fc.array(fc.tuple(key, tie("value")), { maxLength: 3 })
      .map(fromEntries),
  }),
);
const session = fc.array(fc.tuple(key, value), { maxLength: 6 })
  .map(fromEntries);

const copy = <T>(data: T): T => JSON.parse(JSON.stringify(data));
const same = (a: unknown, b: unknown) =>
  assert(
    isDeepStrictEqual(a, b),
    `${JSON.stringify(a)} is not ${JSON.stringify(b)}`,
  );
fc.configureGlobal({ numRuns: 500 });

const mineWins: Resolve = ({ mine }) => mine;
const never: Resolve = () => {
  throw new Error("There was no conflict to resolve");
};

/** A session with the keys of `other` where `takes` is true, else its own. */
function pick(own: Data, other: Data, takes: (key: string) => boolean): Data {
  return fromEntries([
    ...Object.entries(own).filter(([name]) => !takes(name)),
    ...Object.entries(other).filter(([name]) => takes(name)),
  ]);
}

function sorted(data: Data): Data {
  return fromEntries(
    Object.entries(data).sort(([a], [b]) => a < b ? -1 : a > b ? 1 : 0),
  );
}

/** What a prototype that was touched would show. */
function prototypes(): unknown {
  return [Object.prototype, Array.prototype, Function.prototype].map((proto) =>
    Reflect.ownKeys(proto).map((name) => [
      name,
      Object.getOwnPropertyDescriptor(proto, name)?.value,
    ])
  );
}

describe("diff()", () => {
  it("is empty between equal sessions, whatever their objects and order of keys", () => {
    fc.assert(fc.property(session, (base) => {
      assertEquals(diff(base, sorted(copy(base))).size, 0);
    }));
  });

  it("laid over its base by merge() gives the changed session", () => {
    fc.assert(fc.property(session, session, (base, mine) => {
      const merged = merge(base, diff(base, mine), copy(base), never);
      same(sorted(merged.data), sorted(mine));
      assertEquals(merged.conflicts, []);
    }));
  });

  it("laid over a copy of its base by applyPatch() gives the changed session, in place", () => {
    fc.assert(fc.property(session, session, (base, mine) => {
      const target = copy(base);
      applyPatch(target, diff(base, mine));
      same(sorted(target), sorted(mine));
    }));
  });

  it("names only top-level keys that differ", () => {
    fc.assert(fc.property(session, session, (base, mine) => {
      for (const name of diff(base, mine).keys()) {
        const [before, after] = [base, mine].map((data) =>
          Object.hasOwn(data, name) ? [data[name]] : []
        );
        assert(!isDeepStrictEqual(before, after), name);
      }
    }));
  });
});

describe("merge()", () => {
  it("loses nothing when two change different keys, in either order", () => {
    const split = fc.func(fc.boolean());
    fc.assert(fc.property(session, session, split, (base, changed, isMine) => {
      const mineOf = (name: string) => isMine(name);
      const mine = pick(base, changed, mineOf);
      const theirs = pick(base, changed, (name) => !mineOf(name));
      const one = merge(base, diff(base, mine), theirs, never);
      const other = merge(base, diff(base, theirs), mine, never);
      same(sorted(one.data), sorted(changed));
      same(sorted(other.data), sorted(changed));
    }));
  });

  it("is idempotent: the same patch once more changes nothing and conflicts with nothing", () => {
    fc.assert(
      fc.property(session, session, session, (base, mine, theirs) => {
        const patch = diff(base, mine);
        const once = merge(base, patch, theirs, mineWins);
        const twice = merge(base, patch, copy(once.data), never);
        same(sorted(twice.data), sorted(once.data));
        assertEquals(twice.conflicts, []);
      }),
    );
  });

  it("asks exactly for the keys that both changed to different values", () => {
    fc.assert(
      fc.property(session, session, session, (base, mine, theirs) => {
        const [ours, others] = [diff(base, mine), diff(base, theirs)];
        const expected = [...ours.keys()].filter((name) =>
          others.has(name) &&
          !isDeepStrictEqual(ours.get(name), others.get(name))
        );
        const asked: string[] = [];
        const { conflicts } = merge(base, ours, theirs, (conflict) => {
          asked.push(conflict.key);
          same(conflict.mine, ours.get(conflict.key));
          same(conflict.theirs, others.get(conflict.key));
          return conflict.theirs;
        });
        assertEquals([...conflicts].sort(), expected.sort());
        assertEquals(asked.sort(), expected.sort());
      }),
    );
  });

  it("changes none of what it is given", () => {
    fc.assert(
      fc.property(session, session, session, (base, mine, theirs) => {
        const before = copy([base, mine, theirs]);
        merge(base, diff(base, mine), theirs, mineWins);
        same([base, mine, theirs], before);
      }),
    );
  });
});

describe("assignDeep()", () => {
  it("makes the target equal, and keeps the objects in it that were parsed here", () => {
    fc.assert(fc.property(session, session, (data, wanted) => {
      const target = parseOwned<Data>(JSON.stringify(data));
      const nested = { held: target };
      assignDeep(nested, { held: copy(wanted) });
      assertStrictEquals(nested.held, target);
      same(sorted(target), sorted(wanted));
    }));
  });

  it("never writes into an object of the application", () => {
    fc.assert(fc.property(session, session, (data, wanted) => {
      const before = JSON.stringify(data);
      const nested = parseOwned<{ held: Data }>('{"held":{"part":1}}');
      Reflect.set(nested.held, "part", data);
      assignDeep(nested, { held: { part: copy(wanted) } });
      assertEquals(JSON.stringify(data), before);
      same(sorted(nested.held.part as Data), sorted(wanted));
    }));
  });

  it("leaves an object of the application that is stored as the value", () => {
    const model = { secret: 1, toJSON: () => ({ name: "ada" }) };
    const target = { model: Object.freeze(model) };
    assignDeep(target, { model: { name: "ada" } });
    assertStrictEquals(target.model, model);
    assignDeep(target, { model: { name: "eve" } });
    assertEquals(target.model as unknown, { name: "eve" });
    assertEquals(model.secret, 1);
  });
});

describe("no function of patch.ts", () => {
  it("touches a prototype, although keys are named like one", () => {
    const before = prototypes();
    fc.assert(
      fc.property(session, session, session, (base, mine, theirs) => {
        const patch = diff(base, mine);
        const { data } = merge(base, patch, theirs, mineWins);
        const target = copy(base);
        applyPatch(target, patch);
        const assigned = copy(theirs);
        assignDeep(assigned, copy(mine));
        for (const made of [data, target, assigned]) {
          assertStrictEquals(Object.getPrototypeOf(made), Object.prototype);
        }
        assertStrictEquals(({} as Data).polluted, undefined);
      }),
    );
    assertEquals(prototypes(), before);
  });

  it("loses a key named __proto__, or takes it for the prototype", () => {
    const mine = JSON.parse('{"__proto__":{"polluted":true},"n":1}');
    const { data } = merge({}, diff({}, mine), { m: 2 }, never);
    assertEquals(
      JSON.stringify(data),
      '{"m":2,"__proto__":{"polluted":true},"n":1}',
    );
    assertStrictEquals((data as { polluted?: boolean }).polluted, undefined);
  });
});
