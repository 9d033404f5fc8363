/** The compared servers and the load generator, which run at the same time. */
import { Child, type Runtime } from "./child.ts";
import type { LoadCommands, Work } from "./load.ts";
import type { Plan } from "./plan.ts";
import type { ServerCommands, TargetName } from "./server.ts";
import { median } from "./statistics.ts";

/** A server under measurement. */
export interface Measured {
  readonly child: Child<ServerCommands>;
  readonly port: number;
}

/** The cost of one turn, or the median of several. */
export interface Cost {
  /** CPU time of the server, in µs per operation. */
  readonly cpu: number;
  /** Operations per second. */
  readonly rate: number;
}

/** The CPUs that the processes are pinned to. */
export interface Cores {
  readonly server: number | undefined;
  readonly load: number | undefined;
}

/** A named target: one target can be measured with two versions of the sources. */
export interface Entrant {
  readonly name: string;
  readonly target: TargetName;
  readonly runtime: Runtime;
}

/** Servers and load generator; disposing of it ends them. */
export class Stand {
  readonly load: Child<LoadCommands>;
  readonly servers = new Map<string, Measured>();
  readonly #cores: Cores;

  /** @param loadRuntime the runtime of the load generator, the same for every target */
  constructor(loadRuntime: Runtime, cores: Cores) {
    this.#cores = cores;
    this.load = new Child(loadRuntime, "load", [], cores.load);
  }

  /** Starts a server. */
  async start({ name, target, runtime }: Entrant): Promise<Measured> {
    const child = new Child<ServerCommands>(
      runtime,
      "server",
      [target],
      this.#cores.server,
    );
    const server = { child, port: await child.call("port") };
    this.servers.set(name, server);
    return server;
  }

  /** Ends a server. */
  async end(name: string): Promise<void> {
    const server = this.servers.get(name);
    this.servers.delete(name);
    await this.load.call("shut", { port: server!.port });
    await server!.child.stop();
  }

  /** One turn of one server. */
  async turn(
    { child, port }: Measured,
    work: Omit<Work, "port">,
  ): Promise<Cost> {
    const before = await child.call("cpu");
    const { operations, ms } = await this.load.call("saturate", {
      ...work,
      port,
    });
    const used = await child.call("cpu") - before;
    return { cpu: used / operations, rate: operations / ms * 1000 };
  }

  /** Interleaved turns of the named servers, after a warm-up turn of each. */
  async compare(
    names: readonly string[],
    work: Omit<Work, "port" | "ms">,
    { rounds, warmMs, turnMs }: Plan,
  ): Promise<Map<string, Cost>> {
    const turns = new Map<string, Cost[]>(names.map((name) => [name, []]));
    for (const name of names) {
      await this.turn(this.servers.get(name)!, { ...work, ms: warmMs });
    }
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const server = this.servers.get(name)!;
        const cost = await this.turn(server, { ...work, ms: turnMs });
        turns.get(name)!.push(cost);
      }
    }
    return new Map(
      [...turns].map(([name, costs]) => [name, {
        cpu: median(costs.map(({ cpu }) => cpu)),
        rate: median(costs.map(({ rate }) => rate)),
      }]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of [...this.servers.keys()]) await this.end(name);
    await this.load.stop();
  }
}
