/** The random program of one user: a browser whose requests and sockets go to all nodes at once. */
import type { Browser, ClientSocket } from "../support/browser.ts";
import type { Random } from "../simulation/random.ts";
import { pause, settles } from "../support/wait.ts";
import type { Operation, Tortured } from "./history.ts";

/** How long an answer is waited for, in ms: longer than any wait of the bridge. */
const PATIENCE = 15_000;

/** How many handlers hold their session for about as long as a lease. */
const OVERDUE = 0.08;

type Kind = Operation["kind"];

/** One user. */
export class User {
  readonly history: Operation[] = [];
  readonly #name: string;
  readonly #browsers: readonly Browser[];
  readonly #random: Random;
  readonly #hasSockets: boolean;
  #sockets: (ClientSocket | undefined)[] = [];
  #logins = 0;
  #tokens = 0;

  /** @param hasSockets whether the nodes have sockets */
  constructor(
    name: string,
    browsers: readonly Browser[],
    random: Random,
    hasSockets: boolean,
  ) {
    this.#hasSockets = hasSockets;
    this.#name = name;
    this.#browsers = browsers;
    this.#random = random;
  }

  /** Waves of operations at once; between them a guest logs in. */
  async work(waves: number): Promise<void> {
    for (let wave = 0; wave < waves; wave++) {
      await this.#beLoggedIn();
      const count = this.#random.integer(2, 6);
      await Promise.all(Array.from({ length: count }, () => this.#any()));
    }
  }

  /** Reads on each node until each has answered: all faults are over. */
  async settle(): Promise<void> {
    for (let node = 0; node < this.#browsers.length; node++) {
      for (let tries = 0; tries < 20; tries++) {
        if ((await this.#request("read", node)).ok) break;
        await pause(500);
      }
    }
  }

  /** Records that all sessions end from now on; returns what records that they have. */
  flushing(): () => void {
    const operation = this.#begin("flush", -1);
    return () => this.#answered(operation, {});
  }

  async close(): Promise<void> {
    await Promise.all(this.#browsers.map((browser) => browser.close()));
  }

  async #beLoggedIn(): Promise<void> {
    const node = this.#node();
    const read = await this.#request("read", node);
    if (!read.ok || read.login) return;
    for (const socket of this.#sockets) socket?.disconnect();
    const login = `${this.#name}-${++this.#logins}`;
    await this.#request("login", node, { login });
    if (!this.#hasSockets) return;
    this.#sockets = await Promise.all(
      this.#browsers.map((browser) => browser.connect().catch(() => undefined)),
    );
  }

  async #any(): Promise<void> {
    const kind = this.#random.weighted<Kind>([
      [6, "append"],
      [3, "patch"],
      [4, "read"],
      [1, "regenerate"],
      [1, "destroy"],
    ]);
    const token = `${this.#name}.${++this.#tokens}`;
    await pause(this.#random.integer(0, 30));
    const node = this.#node();
    const ms = this.#random.chance(OVERDUE)
      ? this.#random.integer(900, 1_600)
      : 0;
    if (kind === "append" && this.#hasSockets && this.#random.chance(0.5)) {
      await this.#emit(token, node, ms);
    } else await this.#request(kind, node, { token, ms: String(ms) });
  }

  async #request(
    kind: Kind,
    node: number,
    query: Readonly<Record<string, string>> = {},
  ): Promise<Operation> {
    const operation = this.#begin(kind, node, query.token);
    const text = new URLSearchParams({ user: this.#name, ...query });
    if (kind === "login") operation.login = query.login;
    try {
      const asking = this.#browsers[node]!.post(`/${kind}?${text}`);
      const { status, json } = await settles(asking, "the answer", PATIENCE);
      if (status === 200) this.#answered(operation, json);
    } catch {
      // without an answer
    }
    return operation;
  }

  async #emit(token: string, node: number, ms: number): Promise<void> {
    const socket = this.#sockets[node];
    if (!socket?.connected) return;
    const operation = this.#begin("append", node, token);
    try {
      const answer = await socket.timeout(PATIENCE)
        .emitWithAck("append", token, ms) as { error?: string; login?: string };
      if (!answer.error) this.#answered(operation, answer);
    } catch {
      // without an answer
    }
  }

  #begin(kind: Kind, node: number, token?: string): Operation {
    const from = performance.now();
    const operation: Operation = {
      kind,
      user: this.#name,
      node,
      ...token !== undefined && { token },
      from,
      to: Infinity,
      ok: false,
    };
    this.history.push(operation);
    return operation;
  }

  #answered(operation: Operation, answer: Tortured): void {
    operation.to = performance.now();
    operation.ok = true;
    if (operation.kind === "flush" || operation.kind === "destroy") return;
    operation.login = answer.login;
    if (operation.kind !== "read") return;
    operation.tokens = [
      ...answer.list ?? [],
      ...Object.keys(answer).filter((key) => key.startsWith("k-"))
        .map((key) => key.slice(2)),
    ];
  }

  #node(): number {
    return this.#random.integer(0, this.#browsers.length - 1);
  }
}
