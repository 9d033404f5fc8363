/** The measurements under load: throughput, latency, memory, growth. */
import type { Work } from "./load.ts";
import { FLOOD, HTTP_CLIENTS, type Plan, SOCKETS, WINDOW } from "./plan.ts";
import type { Figure } from "./results.ts";
import type { Entrant, Stand } from "./stand.ts";
import { median } from "./statistics.ts";

/** The work of a scenario. */
export type Load = Omit<Work, "port" | "ms">;

const HTTP: Readonly<Record<string, Load>> = {
  "HTTP, read": { path: "/read", clients: HTTP_CLIENTS },
  "HTTP, change": { path: "/change", clients: HTTP_CLIENTS },
  "HTTP, untouched": { path: "/untouched", clients: HTTP_CLIENTS },
};

const EVENTS: Readonly<Record<string, Load>> = {
  "socket, echo": { event: "echo", window: WINDOW },
  "socket, read": { event: "read", window: WINDOW },
  "socket, increment": { event: "increment", window: WINDOW },
};

const HOT: Readonly<Record<string, Load>> = {
  "socket, read, one hot session": { event: "read", window: WINDOW },
  "socket, increment, one hot session": { event: "increment", window: WINDOW },
};

const HANDSHAKE: Readonly<Record<string, Load>> = {
  "handshake": { clients: 8 },
};

/** The scenarios in which two states of the sources are compared. */
export const PAIRED: Readonly<Record<string, Load>> = {
  ...HTTP,
  "HTTP, read, 4000 clients in turn": {
    path: "/read",
    clients: HTTP_CLIENTS,
    among: 4_000,
  },
  ...EVENTS,
  ...HANDSHAKE,
};

const LATENCY: Readonly<Record<string, Load & { rate: number }>> = {
  "HTTP, read": { path: "/read", clients: HTTP_CLIENTS, rate: 500 },
  "socket, increment": { event: "increment", window: 1, rate: 1_000 },
};

/** CPU time per operation of all targets, in interleaved rounds. */
export async function throughput(
  stand: Stand,
  entrants: readonly Entrant[],
  plan: Plan,
): Promise<Figure[]> {
  const names = entrants.map(({ name }) => name);
  const withSockets = entrants
    .filter(({ target }) => target !== "koaSession")
    .map(({ name }) => name);
  const figures: Figure[] = [];
  const measure = async (
    loads: Readonly<Record<string, Load>>,
    names: readonly string[],
  ) => {
    for (const [scenario, load] of Object.entries(loads)) {
      const costs = await stand.compare(names, load, plan);
      for (const [target, { cpu: value, rate }] of costs) {
        figures.push({ scenario, target, value, unit: "µs", rate });
      }
    }
  };
  for (const { port } of stand.servers.values()) {
    await stand.load.call("login", { port, count: SOCKETS });
  }
  await measure(HTTP, names);
  await openAll(stand, withSockets, SOCKETS);
  await measure(EVENTS, withSockets);
  figures.push(...await latency(stand, names, withSockets, plan));
  await shutAll(stand, withSockets);
  await openAll(stand, withSockets, 1);
  await measure(HOT, withSockets);
  await shutAll(stand, withSockets);
  await measure(HANDSHAKE, withSockets);
  const { manyClients: count } = plan;
  for (const { port } of stand.servers.values()) {
    await stand.load.call("login", { port, count });
  }
  const many = { path: "/read", clients: HTTP_CLIENTS, among: count };
  await measure({ [`HTTP, read, ${count} clients in turn`]: many }, names);
  return figures;
}

async function openAll(
  { servers, load }: Stand,
  names: readonly string[],
  sessions: number,
): Promise<void> {
  for (const name of names) {
    const { port } = servers.get(name)!;
    await load.call("open", { port, count: SOCKETS, sessions });
  }
}

async function shutAll(
  { servers, load }: Stand,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    await load.call("shut", { port: servers.get(name)!.port });
  }
}

async function latency(
  { servers, load }: Stand,
  names: readonly string[],
  withSockets: readonly string[],
  { paceMs: ms }: Plan,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, work] of Object.entries(LATENCY)) {
    for (const target of work.path ? names : withSockets) {
      const { port } = servers.get(target)!;
      const took = await load.call("pace", { ...work, port, ms });
      const scenario = `${name}, ${work.rate}/s`;
      const common = { target, unit: "ms" };
      figures.push(
        { ...common, scenario: `${scenario}, p50`, value: took.p50 },
        { ...common, scenario: `${scenario}, p99`, value: took.p99 },
      );
    }
  }
  return figures;
}

/** Bytes per live session, and per idle socket with a separate session, on fresh servers. */
export async function memory(
  stand: Stand,
  entrants: readonly Entrant[],
  { memory: { sessions, sockets } }: Plan,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const entrant of entrants) {
    const { name: target } = entrant;
    const { child, port } = await stand.start(entrant);
    await stand.load.call("login", { port, count: 100 });
    const empty = await child.call("memory");
    await stand.load.call("login", { port, count: sessions });
    const filled = await child.call("memory");
    const unit = "B";
    if (target !== "bare") {
      const value = (filled - empty) / sessions;
      figures.push({ scenario: "memory per session", target, value, unit });
    }
    if (entrant.target !== "koaSession") {
      await stand.load.call("open", { port, count: 20, sessions: 20 });
      const before = await child.call("memory");
      await stand.load.call("open", { port, count: sockets, sessions });
      const value = (await child.call("memory") - before) / sockets;
      figures.push({ scenario: "memory per idle socket", target, value, unit });
    }
    await stand.end(target);
  }
  return figures;
}

/** Logins of another user each time, the end of a session with many sockets, and a client that floods. */
export async function crowd(
  stand: Stand,
  entrants: readonly Entrant[],
  plan: Plan,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const entrant of entrants) await stand.start(entrant);
  const names = entrants.map(({ name }) => name);
  const login = async (name: string) => {
    const { port } = stand.servers.get(name)!;
    await stand.load.call("login", { port, count: HTTP_CLIENTS });
    return port;
  };
  for (const name of names) await login(name);
  const work = { path: "/switch", renews: true, clients: HTTP_CLIENTS };
  for (const [target, cost] of await stand.compare(names, work, plan)) {
    const { cpu: value, rate } = cost;
    const scenario = "HTTP, login of another user";
    figures.push({ scenario, target, value, unit: "µs", rate });
  }
  for (const target of names) {
    if (target === "koa-session") continue;
    const port = await login(target);
    await stand.load.call("open", { port, count: 2, sessions: 2 });
    const { p50, p99 } = await stand.load.call("beside", {
      port,
      event: "increment",
      rate: 200,
      flood: FLOOD,
      ms: plan.paceMs,
    });
    await stand.load.call("shut", { port });
    const scenario = `socket, increment, 200/s, beside ${FLOOD} open ones`;
    const common = { target, unit: "ms" };
    figures.push(
      { ...common, scenario: `${scenario}, p50`, value: p50 },
      { ...common, scenario: `${scenario}, p99`, value: p99 },
    );
  }
  const count = plan.told;
  const scenario = `${count} sockets told of an end, the last`;
  // express-session tells no socket
  const telling = names.filter((name) => /bare|ours/.test(name));
  const times = new Map<string, number[]>(telling.map((name) => [name, []]));
  for (let round = 0; round < plan.rounds; round++) {
    for (const target of telling) {
      const port = await login(target);
      await stand.load.call("open", { port, count, sessions: 1 });
      times.get(target)!.push(await stand.load.call("end", { port }));
      await stand.load.call("shut", { port });
    }
  }
  for (const [target, all] of times) {
    figures.push({ scenario, target, value: median(all), unit: "ms" });
  }
  return figures;
}

/** The cost of an operation while many other sessions or sockets exist. */
export async function growth(
  stand: Stand,
  entrant: Entrant,
  plan: Plan,
): Promise<Figure[]> {
  const { name: target } = entrant;
  const figures: Figure[] = [];
  const measure = async (among: string) => {
    const loads = { ...HTTP, ...EVENTS };
    for (const name of ["HTTP, change", "socket, increment"]) {
      const work = { ...loads[name]!, clients: HTTP_CLIENTS };
      const costs = await stand.compare([target], work, plan);
      const { cpu: value, rate } = costs.get(target)!;
      const scenario = `${name}, among ${among}`;
      figures.push({ scenario, target, value, unit: "µs", rate });
    }
  };
  const begin = async () => {
    const server = await stand.start(entrant);
    const { port } = server;
    await stand.load.call("login", { port, count: SOCKETS });
    await stand.load.call("open", { port, count: SOCKETS, sessions: SOCKETS });
    return server;
  };
  const many = await begin();
  let filled = 0;
  for (const count of plan.growth.sessions) {
    await many.child.call("fill", count - filled);
    filled = count;
    await measure(`${count} sessions`);
  }
  await stand.end(target);
  const crowded = await begin();
  let open = SOCKETS;
  for (const count of plan.growth.sockets) {
    const { port } = crowded;
    const sessions = SOCKETS;
    await stand.load.call("open", { port, count: count - open, sessions });
    open = count;
    await measure(`${count} sockets`);
  }
  await stand.end(target);
  return figures;
}
