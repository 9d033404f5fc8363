/** How long and how often things are measured. */

/** The sizes of a run. */
export interface Plan {
  /** How often each target has its turn in a scenario, after one that only warms up. */
  readonly rounds: number;
  /** How long that one is, in ms: code that is still being compiled costs a multiple. */
  readonly warmMs: number;
  /** How long a turn is, in ms. */
  readonly turnMs: number;
  /** How long latency is measured at a steady pace, in ms. */
  readonly paceMs: number;
  /** How many clients take turns where none is to find its cookies remembered. */
  readonly manyClients: number;
  /** How many sessions, and sockets, memory is measured with. */
  readonly memory: { readonly sessions: number; readonly sockets: number };
  /** How many sessions are in the store when it is cleaned up. */
  readonly cleanup: number;
  /** How long each store is asked, in ms. */
  readonly storeMs: number;
  /** How many sessions, and sockets, there are while others are used. */
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
  storeMs: 1_500,
  growth: {
    sessions: [1_000, 10_000, 100_000, 1_000_000],
    sockets: [100, 1_000, 5_000],
  },
};

/** Under 90 seconds for one runtime: shows that all works, and large effects. */
export const QUICK: Plan = {
  rounds: 3,
  warmMs: 250,
  turnMs: 100,
  paceMs: 300,
  manyClients: 2_000,
  memory: { sessions: 2_000, sockets: 200 },
  cleanup: 100_000,
  storeMs: 200,
  growth: { sessions: [1_000, 10_000], sockets: [100, 500] },
};

/** Sessions, and as many connections, that HTTP is measured with. */
export const HTTP_CLIENTS = 16;

/** Sockets that events are measured with. */
export const SOCKETS = 50;

/** Events that are under way on each of them. */
export const WINDOW = 8;
