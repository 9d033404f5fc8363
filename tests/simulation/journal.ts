/** The history of a simulation: what was asked, seen, acknowledged and reported. */
import type { SessionData } from "@koa-io/session";

/** A session, through all of its ids. */
export interface Lineage {
  readonly name: string;
  readonly ids: string[];
  /** When it was moved to another id, and with which note. */
  readonly moves: { at: number; readonly note: string }[];
  /** When it was removed from the store. */
  endedAt: number | undefined;
}

/** What a handler saw of a session. */
export interface Sight {
  readonly by: string;
  readonly lineage: Lineage;
  /** When the request arrived, or the call was made. */
  readonly asked: number;
  /** When it was seen. */
  readonly at: number;
  readonly n: number;
  readonly tokens: readonly string[];
  readonly keys: readonly string[];
  /** Whether it is a snapshot of a request, and no transaction. */
  readonly isPlain: boolean;
}

/** One transaction, or one joined call. */
export interface Attempt {
  readonly token: string;
  readonly by: string;
  readonly node: string;
  readonly asked: number;
  /** The call in whose handler it was made. */
  readonly outer: Attempt | undefined;
  /** The call that it joined. */
  joined: Attempt | undefined;
  lineage: Lineage | undefined;
  /** When its handler began. */
  began: number | undefined;
  sight: Sight | undefined;
  /** When its handler had returned. */
  returned: number | undefined;
  /**
   * `"refused"`: nothing of it may be stored; `"unknown"`: the store has
   * failed, and it may be stored or not; `"pending"`: no answer yet.
   */
  outcome: "pending" | "ok" | "refused" | "unknown" | "missing" | "ended";
  settled: number | undefined;
  /** The code of its error. */
  code: string | undefined;
  /** Whether its handler set the session to `null`. */
  ends: boolean;
  /** Whether its handler is running. */
  running: boolean;
  /** Whether its node died before an answer. */
  orphaned: boolean;
}

/** A key that a request wrote, and that was acknowledged. */
export interface Kept {
  readonly by: string;
  readonly key: string;
  readonly lineage: Lineage;
  readonly at: number;
}

/** An end that was acknowledged. */
export interface Ended {
  readonly by: string;
  readonly node: string;
  readonly lineage: Lineage;
  readonly at: number;
}

/** An event of a bridge. */
export interface Report {
  readonly node: string;
  readonly type: "start" | "end";
  readonly sid: string;
  readonly why: string;
  readonly at: number;
}

/** Something that was asked of a node. */
export interface Operation {
  readonly by: string;
  readonly node: string;
}

/** The history. */
export class Journal {
  readonly lines: string[] = [];
  readonly violations: string[] = [];
  readonly sights: Sight[] = [];
  readonly attempts: Attempt[] = [];
  readonly kept: Kept[] = [];
  readonly ends: Ended[] = [];
  readonly reports: Report[] = [];
  /** Calls to the store that failed, whether they had an effect or not; `"all"` after a death or an outage. */
  readonly failures: string[] = [];
  /** Clients that a session of another client was bound to. */
  readonly rebound = new Set<string>();
  /** Operations without an answer yet. */
  readonly open = new Set<Operation>();
  /** Whether the store is atomic. */
  isAtomic = true;
  readonly #lineages = new Map<string, Lineage>();
  readonly #byName = new Map<string, Lineage>();
  readonly #now: () => number;
  /** Whether the timeline is kept. */
  readonly #verbose: boolean;

  constructor(now: () => number, verbose: boolean) {
    this.#now = now;
    this.#verbose = verbose;
  }

  get now(): number {
    return this.#now();
  }

  /** All sessions that there have been. */
  get lineages(): readonly Lineage[] {
    return [...new Set(this.#lineages.values())];
  }

  /** Adds a line to the timeline. */
  log(text: () => string): void {
    if (!this.#verbose) return;
    this.lines.push(`${this.now.toFixed(0).padStart(7)} ${text()}`);
  }

  violation(text: string): void {
    this.log(() => `VIOLATION ${text}`);
    this.violations.push(text);
  }

  /** The session that has, or had, an id. */
  lineageOf(sid: string): Lineage | undefined {
    return this.#lineages.get(sid);
  }

  /** A store begins a session. */
  began(sid: string): void {
    const name = `#${this.#lineages.size + 1}`;
    const lineage = { name, ids: [sid], moves: [], endedAt: undefined };
    this.#lineages.set(sid, lineage);
  }

  /** A store gives a session a new id. */
  moved(from: string, to: string, note: string): void {
    const lineage = this.#lineages.get(from);
    if (!lineage) return;
    lineage.ids.push(to);
    lineage.moves.push({ at: this.now, note });
    this.#lineages.set(to, lineage);
  }

  /** A basic store, which moves a session in two steps, does the second one. */
  left(sid: string): void {
    const lineage = this.#lineages.get(sid);
    const move = lineage?.moves[lineage.ids.indexOf(sid)];
    if (move) move.at = this.now;
  }

  /** A store removes a session. */
  ended(sid: string): void {
    const lineage = this.#lineages.get(sid);
    if (lineage?.ids.at(-1) === sid) lineage.endedAt ??= this.now;
  }

  /** A basic store, which does not say what is new and what is moved, stores a session. */
  stored(sid: string, data: SessionData): void {
    if (this.#lineages.has(sid)) return;
    const name = String(data.L);
    const known = this.#byName.get(name);
    if (known) {
      const from = known.ids.at(-1)!;
      this.moved(from, sid, "unknown");
      return;
    }
    this.began(sid);
    this.#byName.set(name, this.#lineages.get(sid)!);
  }

  /** A handler sees a session. */
  saw(
    by: string,
    sid: string,
    session: SessionData,
    asked: number,
    isPlain: boolean,
  ): Sight | undefined {
    const lineage = this.#lineages.get(sid);
    if (!lineage) {
      this.violation(`${by} sees ${sid}, which the store never had`);
      return undefined;
    }
    const sight = {
      by,
      lineage,
      asked,
      at: this.now,
      n: Number(session.n ?? 0),
      tokens: [...session.tokens as string[] ?? []],
      keys: Object.keys(session).filter((key) => key[0] === "p"),
      isPlain,
    };
    this.sights.push(sight);
    return sight;
  }

  /** An operation begins; every one must be answered. */
  opened(by: string, node: string): Operation {
    const operation = { by, node };
    this.open.add(operation);
    return operation;
  }

  /** A node died: its operations are never answered. */
  died(node: string): void {
    for (const operation of this.open) {
      if (operation.node === node) this.open.delete(operation);
    }
    for (const attempt of this.attempts) {
      if (attempt.node === node && attempt.outcome === "pending") {
        attempt.outcome = "unknown";
        attempt.orphaned = true;
      }
    }
  }

  /** An end was acknowledged. */
  acknowledgedEnd(by: string, node: string, lineage: Lineage): void {
    this.ends.push({ by, node, lineage, at: this.now });
  }
}
