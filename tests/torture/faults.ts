/** Faults of a tortured cluster: of its nodes, its connections and its store. */
import type { NodeProcess } from "../support/cluster/processes.ts";
import type { Random } from "../simulation/random.ts";
import { pause } from "../support/wait.ts";

/** How long a process is stopped, in ms: longer than a lease, and than a store call. */
const STOPPED = 1_600;

/** The store of the cluster, as it is disturbed. */
export interface TorturedStore {
  /** Breaks every connection to it; absent where there is none. */
  cut?(): Promise<unknown>;
  /** Stops it for some time; absent where it is no process. */
  signal?(name: "SIGSTOP" | "SIGCONT"): unknown;
  /** Removes all sessions. */
  flush(): Promise<unknown>;
}

/** What disturbs. */
export interface Disturbed {
  readonly nodes: NodeProcess[];
  readonly store: TorturedStore;
  /** Starts a node again that was killed. */
  restart(at: number): Promise<void>;
  /** Records that all sessions ended. */
  flushed(act: () => Promise<unknown>): Promise<void>;
}

type Disturbance = (cluster: Disturbed, random: Random) => Promise<void>;

const DISTURBANCES: Readonly<Record<string, Disturbance>> = {
  async stop({ nodes }, random) {
    const node = random.pick(nodes);
    node.signal("SIGSTOP");
    await pause(STOPPED);
    node.signal("SIGCONT");
  },
  async kill({ nodes, restart }, random) {
    const at = random.integer(0, nodes.length - 1);
    nodes[at]!.signal("SIGKILL");
    await restart(at);
  },
  async cut({ store }) {
    await store.cut?.();
  },
  async freeze({ store }) {
    await store.signal?.("SIGSTOP");
    await pause(STOPPED);
    await store.signal?.("SIGCONT");
  },
  async flush({ store, flushed }) {
    await flushed(() => store.flush());
  },
};

/** Disturbs a cluster by a few faults, one after another; returns their names. */
export async function disturb(
  cluster: Disturbed,
  random: Random,
  count: number,
): Promise<string[]> {
  const done: string[] = [];
  for (let i = 0; i < count; i++) {
    await pause(random.integer(100, 900));
    const name = random.pick(Object.keys(DISTURBANCES));
    done.push(name);
    await DISTURBANCES[name]!(cluster, random);
  }
  return done;
}
