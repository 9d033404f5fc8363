/** Durations and repetitions of the measurements. */

/** The sizes of a run. */
export interface Plan {
  /** Number of turns per target and scenario, after the warm-up turn. */
  readonly rounds: number;
  /** Length of the warm-up turn, in ms: before compilation, code is several times slower. */
  readonly warmMs: number;
  /** Length of a turn, in ms. */
  readonly turnMs: number;
  /** Duration of a latency measurement at a constant rate, in ms. */
  readonly paceMs: number;
  /** Number of clients in turn in the scenario where no cookie is cached. */
  readonly manyClients: number;
  /** Number of sessions and sockets in the memory measurement. */
  readonly memory: { readonly sessions: number; readonly sockets: number };
  /** Number of sessions in the store at the clean-up. */
  readonly cleanup: number;
  /** Number of sockets of one session that are told of its end. */
  readonly told: number;
  /** Duration of the measurement of each store, in ms. */
  readonly storeMs: number;
  /** Numbers of other sessions and sockets in the growth measurement. */
  readonly growth: {
    readonly sessions: readonly number[];
    readonly sockets: readonly number[];
  };
}

/** At most 15 minutes for two runtimes. */
export const FULL: Plan = {
  rounds: 10,
  warmMs: 1_000,
  turnMs: 400,
  paceMs: 4_000,
  manyClients: 4_000,
  memory: { sessions: 20_000, sockets: 2_000 },
  cleanup: 1_000_000,
  told: 1_000,
  storeMs: 1_500,
  growth: {
    sessions: [1_000, 10_000, 100_000, 1_000_000],
    sockets: [100, 1_000, 5_000],
  },
};

/** Under 90 seconds for one runtime: a smoke test that shows large effects only. */
export const QUICK: Plan = {
  rounds: 3,
  warmMs: 250,
  turnMs: 100,
  paceMs: 300,
  manyClients: 2_000,
  memory: { sessions: 2_000, sockets: 200 },
  cleanup: 100_000,
  told: 200,
  storeMs: 120,
  growth: { sessions: [1_000, 10_000], sockets: [100, 500] },
};

/** Number of sessions, and of connections, in the HTTP scenarios. */
export const HTTP_CLIENTS = 16;

/** Number of sockets in the event scenarios. */
export const SOCKETS = 50;

/** Number of open events per socket. */
export const WINDOW = 8;

/** Number of open events of the client that floods. */
export const FLOOD = 64;

/** The sizes of a comparison of two states. */
export interface PairPlan extends Pick<Plan, "rounds" | "warmMs" | "turnMs"> {
  /** Number of couples of servers, with `rounds` pairs of turns each. */
  readonly couples: number;
}

/** About eight minutes for a runtime. */
export const PAIRS: PairPlan = {
  couples: 8,
  rounds: 10,
  warmMs: 2_500,
  turnMs: 100,
};

/** Shows large effects only. */
export const QUICK_PAIRS: PairPlan = {
  couples: 3,
  rounds: 5,
  warmMs: 500,
  turnMs: 100,
};
