/** Runs one program, and judges its history. */
import { Actor, Clock, type Context, virtually } from "./clock.ts";
import { Jar } from "./http.ts";
import { Journal, type Lineage } from "./journal.ts";
import { latency, Link } from "./link.ts";
import { Messenger } from "./messenger.ts";
import { SimulatedNode } from "./node.ts";
import type { Entry, Program } from "./program.ts";
import { Random } from "./random.ts";
import { checkEnd, checkHistory, checkRest } from "./checks.ts";
import {
  BasicCentral,
  type Central,
  MemoryCentral,
  SharedCentral,
} from "./stores.ts";
import { Tab } from "./tab.ts";

/** How long after the last event of a program everything is at rest, in ms. */
const REST = 120_000;

/** How much longer than a session anything may be kept, in ms. */
const KEPT = 720_000;

/** What a simulation has found. */
export interface Outcome {
  readonly violations: readonly string[];
  /** The timeline, if it was asked for. */
  readonly lines: readonly string[];
  readonly events: number;
}

/** Runs a program. */
export async function simulate(
  program: Program,
  verbose = false,
): Promise<Outcome> {
  const clock = new Clock();
  const journal = new Journal(() => clock.now, verbose);
  const failed = (error: unknown) =>
    journal.violation(`unhandled rejection: ${(error as Error)?.stack}`);
  await virtually(
    clock,
    new Random("world", program.seed),
    failed,
    async () => {
      try {
        await new World(program, clock, journal).run();
      } catch (error) {
        journal.violation(`the simulation fails: ${(error as Error).stack}`);
      }
    },
  );
  const { violations, lines } = journal;
  return { violations, lines, events: clock.events };
}

interface Client {
  readonly jar: Jar;
  readonly tabs: Tab[];
}

/** The nodes, the store, the messenger and the clients of one simulation. */
export class World {
  readonly program: Program;
  readonly clock: Clock;
  readonly journal: Journal;
  readonly central: Central;
  readonly clients: readonly Client[];
  readonly #store = new Actor("store");
  readonly #messenger: Messenger;
  readonly #nodes: (SimulatedNode | undefined)[] = [];
  readonly #lives: number[] = [];
  readonly #entries: ReadonlyMap<number, Entry>;
  readonly #logins = new Map<string, number>();
  #ids = 0;

  constructor(program: Program, clock: Clock, journal: Journal) {
    this.program = program;
    this.clock = clock;
    this.journal = journal;
    const { setup, entries } = program;
    this.#entries = new Map(entries.map((entry) => [entry.id, entry]));
    this.#messenger = new Messenger(clock, (text) => journal.log(text));
    journal.isAtomic = setup.store !== "basic";
    this.#messenger.loss = setup.loss;
    this.#messenger.repetition = setup.repetition;
    this.central = setup.store === "shared"
      ? new SharedCentral(journal)
      : setup.store === "memory"
      ? new MemoryCentral(journal, setup.maxAge)
      : new BasicCentral(journal, setup.reports);
    this.clients = Array.from(
      { length: setup.clients },
      () => ({ jar: new Jar(), tabs: [] }),
    );
  }

  /** The nodes that are alive. */
  get nodes(): readonly SimulatedNode[] {
    return this.#nodes.filter((node) => node !== undefined);
  }

  nodeAt(index: number): SimulatedNode | undefined {
    return this.#nodes[index];
  }

  async run(): Promise<void> {
    const { program, clock, journal } = this;
    const { setup, entries } = program;
    for (let i = 0; i < setup.nodes; i++) this.#start(i);
    for (const entry of entries) {
      clock.plan(entry.at, () => this.#execute(entry));
    }
    const last = Math.max(0, ...entries.map(({ at }) => at));
    await clock.runUntil(last + 10_000);
    this.#heal();
    await clock.runUntil(last + REST);
    journal.log(() => "all is at rest");
    this.#asStore(() => checkRest(this));
    for (const { tabs } of this.clients) {
      for (const tab of tabs) tab.disconnect();
    }
    await clock.runUntil(last + REST + setup.maxAge + KEPT);
    journal.log(() => "all is over");
    this.#asStore(() => checkEnd(this));
    checkHistory(journal);
    for (const node of this.nodes) {
      clock.within(this.#calm(node.actor), () => void node.bridge.close());
    }
    await clock.runUntil(clock.now + 1);
  }

  #start(index: number): void {
    const { program, clock, journal, central } = this;
    const { setup } = program;
    const life = this.#lives[index] = (this.#lives[index] ?? 0) + 1;
    const name = `n${index}${"'".repeat(life - 1)}`;
    const actor = new Actor(name, setup.skews[index]);
    const log = (text: () => string) => journal.log(text);
    const link = new Link(
      clock,
      actor,
      this.#store,
      setup.ordered,
      log,
      (name) => journal.failures.push(name),
    );
    const node = clock.within(this.#calm(actor), () =>
      new SimulatedNode({
        actor,
        setup,
        journal,
        store: central.connect((name, apply) => link.call(name, apply)),
        attach: setup.store === "shared"
          ? (io) => this.#messenger.connect(actor, io)
          : undefined,
        entries: this.#entries,
        logins: this.#logins,
        genid: () => `s${++this.#ids}`,
        acknowledged: (by, node, lineage) =>
          this.#acknowledged(by, node, lineage),
      }));
    this.#nodes[index] = node;
  }

  #execute(entry: Entry): void {
    const { clock, journal } = this;
    const client = this.clients[entry.client];
    const node = this.nodeAt(entry.node);
    const random = new Random(this.program.seed, "entry", entry.id);
    if (!client) return;
    if (entry.kind === "connect") {
      const name = `tab ${entry.client}.${entry.id}`;
      const { seed } = this.program;
      client.tabs.push(new Tab(this, client.jar, entry.node, seed, name));
      return;
    }
    if (entry.kind === "disconnect") return client.tabs.pop()?.disconnect();
    if (entry.kind === "event") {
      const tabs = client.tabs.filter(({ connected }) => connected);
      if (tabs.length === 0) return;
      return random.pick(tabs).send(entry.id, random, entry.chaos);
    }
    if (entry.kind === "outage") {
      return this.#freeze(this.#store, entry.ms, true);
    }
    if (!node) return;
    const context: Context = { actor: node.actor, random, chaos: entry.chaos };
    const sid = client.jar.get("sid");
    switch (entry.kind) {
      case "request":
        return this.#request(entry, node, client, context);
      case "bridge":
        return clock.post(
          0,
          context,
          () => void node.call(entry, sid),
        );
      case "destroy":
        if (sid === undefined) return;
        return clock.post(
          0,
          context,
          () => void this.#destroy(entry, node, sid),
        );
      case "destroyUser":
        return clock.post(
          0,
          context,
          () => void this.#destroyUser(entry.id, node, entry.user),
        );
      case "freeze":
        return this.#freeze(node.actor, entry.ms, random.chance(0.5));
      case "kill":
        journal.log(() => `${node.name} dies`);
        this.#kill(entry.node, node);
        return clock.plan(entry.ms, () => {
          if (this.nodeAt(entry.node)) return;
          this.#start(entry.node);
          journal.log(() => `${this.nodeAt(entry.node)!.name} starts`);
        });
    }
  }

  #request(
    entry: Entry,
    node: SimulatedNode,
    { jar }: Client,
    context: Context,
  ): void {
    const { clock, journal } = this;
    const { header } = jar;
    const { random, chaos } = context;
    const by = `request ${entry.id}`;
    clock.post(latency(random), context, () => {
      journal.log(() => `${node.name} ${by} arrives with ${header}`);
      const operation = journal.opened(by, node.name);
      node.serve(entry, header, (response) => {
        journal.open.delete(operation);
        const cookies = response.getHeader("set-cookie");
        const lost = random.chance(chaos * 2);
        const session = response.getHeader("x-session");
        const sent = [cookies ?? []].flat().map((line) =>
          /^sid=([^;]+)/.exec(line)?.[1]
        ).find((sid) => sid !== undefined);
        // a login begins a session, where the one of its request went on elsewhere
        const begins = session === "" &&
          JSON.stringify(entry).includes('"login"');
        if (
          sent !== undefined && session !== undefined && sent !== session &&
          !begins
        ) {
          journal.violation(`${by} is in ${session}, and sends ${sent}`);
        }
        journal.log(() =>
          `${node.name} ${by} answers ${response.statusCode} ${cookies ?? ""}${
            lost ? ", which is lost" : ""
          }`
        );
        if (lost) return;
        clock.plan(
          latency(random),
          () => jar.take(cookies, clock.epoch + clock.now),
        );
      });
    });
  }

  async #destroy(
    entry: Entry,
    node: SimulatedNode,
    sid: string,
  ): Promise<void> {
    const { journal } = this;
    const lineage = journal.lineageOf(sid);
    const isCurrent = lineage?.ids.at(-1) === sid;
    await this.#operate(`destroy ${entry.id} ${sid}`, node, async (by) => {
      const existed = await node.bridge.destroy(sid);
      journal.log(() => `${node.name} ${by} ${existed}`);
      if (lineage && (isCurrent || existed)) node.acknowledged(by, lineage);
    });
  }

  async #destroyUser(
    id: number,
    node: SimulatedNode,
    user: string,
  ): Promise<void> {
    const { journal, central } = this;
    if (!this.program.setup.user) return;
    const before = central.truth().filter((one) => one.user === user)
      .map(({ sid }) => journal.lineageOf(sid)!);
    let logins = this.#logins.get(user) ?? 0;
    await this.#operate(`destroyUser ${id} ${user}`, node, async (by) => {
      const count = await node.bridge.destroyUser(user);
      journal.log(() => `${node.name} ${by} ${count}`);
      logins += this.#logins.get(user) ?? 0;
      if (logins > 0) return;
      for (const one of central.truth()) {
        const lineage = journal.lineageOf(one.sid)!;
        if (one.user === user && before.includes(lineage)) {
          journal.violation(
            `${by} has ended, and ${one.sid} is still ${user}'s`,
          );
        }
      }
    });
  }

  async #operate(
    by: string,
    node: SimulatedNode,
    act: (by: string) => Promise<void>,
  ): Promise<void> {
    const { journal } = this;
    const operation = journal.opened(by, node.name);
    journal.log(() => `${node.name} ${by}`);
    try {
      await act(by);
    } catch (error) {
      journal.log(() => `${node.name} ${by} rejects: ${error}`);
      if ((error as { code?: string }).code !== "SESSION_STORE") {
        journal.violation(`${by} rejects with ${error}`);
      }
    }
    journal.open.delete(operation);
  }

  /** An end was acknowledged: the store must not have the session any more. */
  #acknowledged(by: string, node: string, lineage: Lineage): void {
    const { journal, central } = this;
    journal.acknowledgedEnd(by, node, lineage);
    if (this.program.setup.store === "basic") return;
    for (const { sid } of this.#asStore(() => central.truth())) {
      if (lineage.ids.includes(sid)) {
        journal.violation(`${by} ended ${lineage.name}, and ${sid} is alive`);
      }
    }
  }

  #freeze(actor: Actor, ms: number, timersFirst: boolean): void {
    if (actor.frozen || actor.dead) return;
    const { clock, journal } = this;
    journal.log(() => `${actor.name} freezes`);
    if (actor === this.#store) journal.failures.push("all");
    actor.frozen = true;
    clock.plan(ms, () => {
      journal.log(() => `${actor.name} goes on`);
      clock.thaw(actor, timersFirst);
    });
  }

  #kill(index: number, node: SimulatedNode): void {
    node.actor.dead = true;
    this.#nodes[index] = undefined;
    this.#messenger.disconnect(node.actor);
    this.journal.died(node.name);
    this.journal.failures.push("all");
    for (const { tabs } of this.clients) {
      for (const tab of tabs) tab.lost(node);
    }
  }

  #heal(): void {
    this.journal.log(() => "no more faults");
    this.#messenger.loss = 0;
    for (const { actor } of this.nodes) this.clock.thaw(actor, true);
    this.clock.thaw(this.#store, true);
    this.#lives.forEach((_, index) => {
      if (!this.nodeAt(index)) this.#start(index);
    });
  }

  #calm(actor: Actor): Context {
    const random = new Random(this.program.seed, "calm", actor.name);
    return { actor, random, chaos: 0 };
  }

  #asStore<T>(run: () => T): T {
    return this.clock.within(this.#calm(this.#store), run);
  }
}
