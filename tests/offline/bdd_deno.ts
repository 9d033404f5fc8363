// Stands in for @std/testing/bdd under Deno where JSR does not answer. It is
// built on Deno.test, as tests of Deno's node:test escape the sanitizers.

type Body = () => void | Promise<void>;

interface Entry {
  name: string;
  ignore: boolean;
  run(t: Deno.TestContext, outer: Suite[]): Promise<void>;
}

interface Suite {
  entries: Entry[];
  beforeAll: Body[];
  beforeEach: Body[];
  afterEach: Body[];
  afterAll: Body[];
}

let current: Suite | undefined;

function enter(entry: Entry): void {
  if (current) {
    current.entries.push(entry);
    return;
  }
  const { name, ignore } = entry;
  Deno.test({ name, ignore, fn: (t) => entry.run(t, []) });
}

function suiteOf(name: string, body: () => void, ignore: boolean): void {
  const parent = current;
  const suite: Suite = current = {
    entries: [],
    beforeAll: [],
    beforeEach: [],
    afterEach: [],
    afterAll: [],
  };
  try {
    body();
  } finally {
    current = parent;
  }
  enter({ name, ignore, run: (t, outer) => runSuite(t, [...outer, suite]) });
}

async function runSuite(t: Deno.TestContext, chain: Suite[]): Promise<void> {
  const suite = chain.at(-1)!;
  try {
    for (const hook of suite.beforeAll) await hook();
    for (const { name, ignore, run } of suite.entries) {
      await t.step({ name, ignore, fn: (step) => run(step, chain) });
    }
  } finally {
    for (const hook of suite.afterAll) await hook();
  }
}

function caseOf(name: string, body: Body, ignore: boolean): void {
  const run = async (_: Deno.TestContext, chain: Suite[]) => {
    try {
      for (const suite of chain) for (const h of suite.beforeEach) await h();
      await body();
    } finally {
      for (const suite of chain.toReversed()) {
        for (const hook of suite.afterEach) await hook();
      }
    }
  };
  enter({ name, ignore, run });
}

function hook(kind: Exclude<keyof Suite, "entries">): (body: Body) => void {
  return (body) => {
    if (!current) {
      throw new Error(`Cannot add ${kind} as it must be inside describe()`);
    }
    current[kind].push(body);
  };
}

export const describe = Object.assign(
  (name: string, body: () => void) => suiteOf(name, body, false),
  { skip: (name: string, body: () => void) => suiteOf(name, body, true) },
);
export const it = Object.assign(
  (name: string, body: Body) => caseOf(name, body, false),
  { skip: (name: string, body: Body) => caseOf(name, body, true) },
);
export const test = it;
export const beforeAll = hook("beforeAll");
export const beforeEach = hook("beforeEach");
export const afterEach = hook("afterEach");
export const afterAll = hook("afterAll");
