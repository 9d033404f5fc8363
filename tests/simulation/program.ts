/** Random programs: what clients and the application do, and which faults happen. */
import { Random } from "./random.ts";

/** The options of one simulation. */
export interface Setup {
  readonly store: "shared" | "memory" | "basic";
  readonly nodes: number;
  readonly clients: number;
  readonly user: boolean;
  readonly onUserChange: "reconnect" | "follow" | "keep";
  readonly onSessionEnd: "keep" | "disconnect";
  readonly maxSessions: number | undefined;
  readonly lockTimeout: number;
  readonly storeTimeout: number;
  readonly maxAge: number;
  readonly rolling: boolean;
  /** Whether calls to the store keep their order. */
  readonly ordered: boolean;
  /** Whether a basic store has `on`. */
  readonly reports: boolean;
  /** How far the clocks of the nodes are ahead of the store's, in ms. */
  readonly skews: readonly number[];
  readonly loss: number;
  readonly repetition: number;
}

/** What a handler of the application does. */
export type Step =
  | { readonly do: "sleep"; readonly ms: number }
  /** Begins a session, or writes to the one there is. */
  | { readonly do: "set" }
  | { readonly do: "save" }
  | { readonly do: "login"; readonly user: string }
  | { readonly do: "forget" }
  | { readonly do: "logout" }
  | {
    readonly do: "regenerate";
    readonly sockets: "follow" | "leave" | "reconnect";
  }
  /** A transaction, or a joined call inside of one. */
  | {
    readonly do: "call";
    readonly by: Caller;
    readonly steps: readonly Step[];
  }
  /** Calls that are made at once. */
  | { readonly do: "calls"; readonly calls: readonly (readonly Step[])[] }
  /** A call that a timer makes, which no handler waits for. */
  | {
    readonly do: "timer";
    readonly ms: number;
    readonly steps: readonly Step[];
  }
  /** Sets the session of a transaction to `null`. */
  | { readonly do: "end" }
  | { readonly do: "throw" };

/** What a call is made on: the request or socket, or the bridge. */
export type Caller = "own" | "bridge";

/** One event of a program. */
export type Entry =
  & {
    readonly id: number;
    /** When it happens, virtual ms. */
    readonly at: number;
    /** The probability of faults in what it causes. */
    readonly chaos: number;
    readonly client: number;
    readonly node: number;
  }
  & (
    | { readonly kind: "request" | "event"; readonly steps: readonly Step[] }
    | { readonly kind: "bridge"; readonly steps: readonly Step[] }
    | { readonly kind: "destroy" }
    | { readonly kind: "destroyUser"; readonly user: string }
    | { readonly kind: "connect" | "disconnect" }
    | { readonly kind: "freeze"; readonly ms: number }
    | { readonly kind: "kill"; readonly ms: number }
    | { readonly kind: "outage"; readonly ms: number }
  );

/** A program, and the options that it runs with. */
export interface Program {
  readonly seed: number;
  readonly setup: Setup;
  readonly entries: readonly Entry[];
}

const USERS = ["ada", "bob"] as const;

/** The program of a seed. */
export function programOf(seed: number): Program {
  const random = new Random("program", seed);
  const setup = setupOf(random);
  const length = random.weighted([
    [3, 2_000],
    [3, 8_000],
    [2, 25_000],
  ]);
  const count = random.integer(6, 40);
  const chaos = random.weighted([[3, 0], [3, 0.03], [2, 0.1]]);
  const faults = random.chance(0.6);
  // a few moments at which much happens at once
  const bursts = Array.from(
    { length: random.integer(1, 4) },
    () => random.integer(500, length),
  );
  const entries: Entry[] = [];
  const add = (entry: Entry) => void entries.push(entry);
  let id = 0;
  const common = (at: number, client: number) => ({
    id: id++,
    at,
    chaos: random.chance(0.7) ? chaos : 0,
    client,
    node: random.integer(0, setup.nodes - 1),
  });
  for (let client = 0; client < setup.clients; client++) {
    const steps: Step[] = [{ do: "set" }];
    if (setup.user && random.chance(0.6)) {
      steps.push({ do: "login", user: random.pick(USERS) });
    }
    add({ ...common(0, client), chaos: 0, kind: "request", steps });
    for (let i = random.integer(0, 2); i > 0; i--) {
      add({ ...common(450, client), chaos: 0, kind: "connect" });
    }
  }
  for (let i = 0; i < count; i++) {
    const at = random.chance(0.6)
      ? random.pick(bursts) + random.integer(0, 60)
      : random.integer(500, length);
    const entry = common(at, random.integer(0, setup.clients - 1));
    add(eventOf(random, setup, entry, faults));
  }
  entries.sort((a, b) => a.at - b.at || a.id - b.id);
  return { seed, setup, entries };
}

function setupOf(random: Random): Setup {
  const store = random.weighted(
    [
      [7, "shared"],
      [2, "memory"],
      [3, "basic"],
    ] as const,
  );
  const nodes = store === "shared" ? random.integer(1, 3) : 1;
  // two sessions with the data of one are told apart only where the store says which is which
  const user = store !== "basic" && random.chance(0.6);
  const skewed = random.chance(0.3);
  return {
    store,
    nodes,
    clients: random.integer(1, 2),
    user,
    onUserChange: random.pick(["reconnect", "follow", "keep"]),
    onSessionEnd: random.pick(["keep", "disconnect"]),
    maxSessions: user && random.chance(0.25) ? random.integer(1, 2) : undefined,
    lockTimeout: random.pick([1_000, 5_000]),
    storeTimeout: random.pick([1_000, 5_000]),
    maxAge: random.weighted([[4, 600_000], [1, 20_000]]),
    rolling: random.chance(0.2),
    ordered: random.chance(0.5),
    reports: random.chance(0.5),
    skews: Array.from(
      { length: nodes },
      () => skewed ? random.integer(-1_000, 1_000) : 0,
    ),
    loss: random.pick([0, 0.3, 1]),
    repetition: random.pick([0, 0.2]),
  };
}

type Common = Pick<Entry, "id" | "at" | "chaos" | "client" | "node">;

function eventOf(
  random: Random,
  setup: Setup,
  common: Common,
  faults: boolean,
): Entry {
  const kind = random.weighted(
    [
      [40, "request"],
      [28, "event"],
      [8, "bridge"],
      [4, "destroy"],
      [setup.user ? 3 : 0, "destroyUser"],
      [4, "connect"],
      [3, "disconnect"],
      [faults ? 4 : 0, "freeze"],
      [faults && setup.store !== "memory" ? 2 : 0, "kill"],
      [faults && setup.store !== "memory" ? 1 : 0, "outage"],
    ] as const,
  );
  const { lockTimeout, storeTimeout } = setup;
  switch (kind) {
    case "request":
      return { ...common, kind, steps: requestSteps(random, setup) };
    case "event":
    case "bridge": {
      const by = kind === "bridge" ? "bridge" : "own";
      const count = random.weighted([[4, 1], [1, 2]]);
      const steps = Array.from(
        { length: count },
        (): Step => ({ do: "call", by, steps: innerSteps(random, setup, 0) }),
      );
      return { ...common, kind, steps };
    }
    case "destroyUser":
      return { ...common, kind, user: random.pick(USERS) };
    case "freeze":
    case "outage": {
      const ms = random.pick([
        random.integer(100, 900),
        lockTimeout + random.integer(0, 2_000),
        storeTimeout + random.integer(0, 2_000),
      ]);
      return { ...common, kind, ms };
    }
    case "kill":
      return { ...common, kind, ms: random.integer(100, 4_000) };
    default:
      return { ...common, kind };
  }
}

function requestSteps(random: Random, setup: Setup): Step[] {
  const { user } = setup;
  const steps: Step[] = [];
  for (
    let count = random.weighted([[5, 1], [3, 2], [2, 3]]);
    count > 0;
    count--
  ) {
    if (random.chance(0.25)) steps.push(sleep(random, setup));
    steps.push(
      random.weighted<() => Step>([
        [30, () => ({ do: "set" })],
        [25, () => ({
          do: "call",
          by: random.weighted([[4, "own"], [1, "bridge"]]),
          steps: innerSteps(random, setup, 0),
        })],
        [6, () => ({ do: "save" })],
        [12, () => ({
          do: "regenerate",
          sockets: random.weighted([
            [4, "follow"],
            [1, "leave"],
            [1, "reconnect"],
          ]),
        })],
        [8, () => ({ do: "logout" })],
        [user ? 14 : 0, () => ({ do: "login", user: random.pick(USERS) })],
        [user ? 4 : 0, () => ({ do: "forget" })],
      ])(),
    );
  }
  if (random.chance(0.2)) steps.push(sleep(random, setup));
  return steps;
}

function innerSteps(random: Random, setup: Setup, depth: number): Step[] {
  const steps: Step[] = [];
  if (random.chance(0.4)) steps.push(sleep(random, setup));
  if (depth < 2 && random.chance(0.25)) {
    const nested = () => innerSteps(random, setup, depth + 1);
    steps.push(
      random.weighted<() => Step>([
        [4, () => ({ do: "call", by: "own", steps: nested() })],
        [2, () => ({ do: "call", by: "bridge", steps: nested() })],
        [2, () => ({ do: "calls", calls: [nested(), nested()] })],
        [
          4,
          () => ({ do: "timer", ms: sleep(random, setup).ms, steps: nested() }),
        ],
      ])(),
    );
    if (random.chance(0.3)) steps.push(sleep(random, setup));
  }
  const last = random.weighted<() => Step | undefined>([
    [7, () => ({ do: "end" })],
    [7, () => ({ do: "throw" })],
    [setup.user ? 5 : 0, () => ({ do: "login", user: random.pick(USERS) })],
    [81, () => undefined],
  ])();
  if (last) steps.push(last);
  return steps;
}

function sleep(random: Random, { lockTimeout }: Setup) {
  const ms = random.weighted([
    [5, random.integer(1, 60)],
    [3, random.integer(60, 900)],
    [2, lockTimeout + random.integer(-100, 1_500)],
  ]);
  return { do: "sleep", ms } as const;
}
