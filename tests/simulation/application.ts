/** The application of a node: it does what the steps of a program say. */
import type { SessionData, SessionView } from "@koa-io/session";
import type { Attempt, Journal, Lineage } from "./journal.ts";
import type { Caller, Entry, Step } from "./program.ts";

/** What a request's context has of the bridge. */
export interface AppContext {
  session:
    | (SessionData & { save(): Promise<void>; L?: string; user?: string })
    | null;
  readonly sessionId: string | undefined;
  withSession(handler: Handler, missing: unknown): Promise<unknown>;
  regenerateSession(options: { sockets: string }): Promise<void>;
  status: number;
  body: unknown;
  set(header: string, value: string): void;
}

type Handler = (view: SessionView<SessionData>) => unknown;
type Call = (handler: Handler, missing: unknown) => Promise<unknown>;

/** What the application needs of its node. */
export interface Host {
  readonly name: string;
  readonly journal: Journal;
  /** Whether the node is dead: what it does then concerns no one. */
  readonly dead: boolean;
  /** The transaction of the bridge. */
  withSession(
    sid: string,
    handler: Handler,
    missing: unknown,
  ): Promise<unknown>;
  /** An end was acknowledged on this node. */
  acknowledged(by: string, lineage: Lineage): void;
}

const MISSING = Symbol("missing");

/** Thrown by handlers on purpose. */
class Deliberate extends Error {}

/** What a call is made from. */
interface Source {
  readonly own: Call;
  /** The session's id, for calls of the bridge outside of transactions. */
  readonly sid: () => string | undefined;
}

/** The application of one node. */
export class Application {
  readonly #host: Host;
  readonly #journal: Journal;
  /** Requests that are giving a session to a user, by user. */
  readonly #logins: Map<string, number>;

  constructor(host: Host, logins: Map<string, number>) {
    this.#host = host;
    this.#journal = host.journal;
    this.#logins = logins;
  }

  /** Handles a request; the session is committed after `next`. */
  async serve(
    entry: Entry & { readonly steps: readonly Step[] },
    ctx: AppContext,
    next: () => Promise<void>,
    asked: number,
  ): Promise<void> {
    const request = new RequestRun(this.#journal, `request ${entry.id}`, ctx);
    this.#runs.set(ctx, { request, entry, asked });
    const users = entry.steps.flatMap((step) =>
      step.do === "login" ? [step.user] : []
    );
    for (const user of users) this.#count(user, 1);
    try {
      await next();
      const { sessionId } = ctx;
      ctx.set("x-session", sessionId ?? "");
      if (ctx.status >= 500) return;
      if (sessionId !== undefined) request.keep(sessionId);
      const ended = request.acknowledgedEnd(asked);
      if (ended) this.#host.acknowledged(request.by, ended);
    } finally {
      for (const user of users) this.#count(user, -1);
    }
  }

  readonly #runs = new WeakMap<
    object,
    {
      request: RequestRun;
      entry: Entry & { steps: readonly Step[] };
      asked: number;
    }
  >();

  /** The handler of a request. */
  async handle(ctx: AppContext): Promise<void> {
    const { request, entry, asked } = this.#runs.get(ctx)!;
    const { sessionId, session } = ctx;
    if (sessionId !== undefined) {
      const { by } = request;
      this.#journal.saw(by, sessionId, session!, asked, true);
      this.#journal.log(() => `${this.#host.name} ${by} loads ${sessionId}`);
    }
    const source: Source = {
      own: (handler, missing) => ctx.withSession(handler, missing),
      sid: () => ctx.sessionId,
    };
    for (const step of entry.steps) {
      if (!ctx.session) request.drop();
      // an assignment after `null` replaces the data of the same session
      if (request.loggedOut && (step.do === "set" || step.do === "login")) {
        continue;
      }
      switch (step.do) {
        case "set":
          request.set();
          break;
        case "login":
          request.set();
          ctx.session!.user = step.user;
          break;
        case "forget":
          if (ctx.session) delete ctx.session.user;
          break;
        case "save":
          if (!ctx.session?.L) break;
          await ctx.session.save();
          if (ctx.sessionId !== undefined) request.keep(ctx.sessionId);
          break;
        case "logout":
          request.logOut();
          break;
        case "regenerate":
          if (ctx.sessionId === undefined) break;
          await ctx.regenerateSession({ sockets: step.sockets })
            .catch(ignoreMissing);
          break;
        default:
          await this.#step(request.by, source, step, undefined, undefined);
      }
    }
    if (!ctx.session) request.drop();
    ctx.body = "ok";
  }

  /** Handles the event of a socket, or the call of a program by id. */
  async run(
    by: string,
    steps: readonly Step[],
    own: Call | undefined,
    sid: () => string | undefined,
  ): Promise<void> {
    const source: Source = {
      own: own ?? ((handler, missing) => {
        const id = sid();
        return id === undefined
          ? Promise.resolve(missing)
          : this.#host.withSession(id, handler, missing);
      }),
      sid,
    };
    for (const step of steps) {
      await this.#step(by, source, step, undefined, undefined);
    }
  }

  async #step(
    by: string,
    source: Source,
    step: Step,
    view: SessionView<SessionData> | undefined,
    outer: Attempt | undefined,
  ): Promise<void> {
    const call = (caller: Caller, steps: readonly Step[]) =>
      this.#call(by, source, caller, steps, view?.sessionId, outer);
    switch (step.do) {
      case "sleep":
        return await new Promise((resolve) => setTimeout(resolve, step.ms));
      case "call":
        return await call(step.by, step.steps);
      case "calls":
        await Promise.all(step.calls.map((steps) => call("own", steps)));
        return;
      case "timer":
        setTimeout(() => void call("own", step.steps), step.ms);
        return;
      case "login":
        if (view?.session) view.session.user = step.user;
        return;
      case "end":
        outer!.ends = true;
        (view as { session: SessionData | null }).session = null;
        return;
      case "throw":
        throw new Deliberate();
    }
  }

  async #call(
    by: string,
    source: Source,
    caller: Caller,
    steps: readonly Step[],
    inside: string | undefined,
    outer: Attempt | undefined,
  ): Promise<void> {
    const journal = this.#journal;
    const attempt: Attempt = {
      token: `t${journal.attempts.length + 1}`,
      by,
      node: this.#host.name,
      asked: journal.now,
      joined: undefined,
      lineage: undefined,
      began: undefined,
      sight: undefined,
      returned: undefined,
      outcome: "pending",
      settled: undefined,
      code: undefined,
      outer,
      ends: false,
      orphaned: false,
      running: false,
    };
    journal.attempts.push(attempt);
    const { token } = attempt;
    const handler: Handler = async (view) => {
      const { sessionId, session } = view;
      attempt.began = journal.now;
      attempt.sight = journal.saw(by, sessionId, session, attempt.asked, false);
      attempt.lineage = attempt.sight?.lineage;
      attempt.joined = joinedBy(attempt.sight?.tokens ?? [], outer);
      journal.log(() =>
        `${attempt.node} ${by} ${token}${
          attempt.joined ? ` joins ${attempt.joined.token}` : ""
        } sees ${sessionId} ${JSON.stringify(session)}`
      );
      attempt.running = true;
      try {
        session.n = Number(session.n ?? 0) + 1;
        session.tokens = [...session.tokens as string[] ?? [], token];
        for (const step of steps) {
          await this.#step(by, source, step, view, attempt);
        }
      } finally {
        attempt.running = false;
        attempt.returned = journal.now;
      }
      return "ok";
    };
    const operation = journal.opened(`${by} ${token}`, this.#host.name);
    const id = inside ?? source.sid();
    try {
      const result = await (caller === "own"
        ? source.own(handler, MISSING)
        : id === undefined
        ? MISSING
        : this.#host.withSession(id, handler, MISSING));
      attempt.outcome = result === MISSING ? "missing" : "ok";
    } catch (error) {
      attempt.outcome = this.#outcomeOf(by, error);
      attempt.code = String((error as { code?: string }).code);
    }
    if (this.#host.dead) return;
    attempt.settled = journal.now;
    journal.open.delete(operation);
    journal.log(() =>
      `${attempt.node} ${by} ${token} ${attempt.outcome} ${attempt.code ?? ""}`
    );
    if (attempt.outcome === "ok" && attempt.ends) {
      this.#host.acknowledged(`${by} ${token}`, attempt.lineage!);
    }
  }

  #outcomeOf(by: string, error: unknown): Attempt["outcome"] {
    if (error instanceof Deliberate) return "refused";
    switch ((error as { code?: string }).code) {
      case "SESSION_STORE":
        return "unknown";
      case "SESSION_MISSING":
        return "missing";
      case "SESSION_ENDED":
        return "ended";
      case "SESSION_TIMEOUT":
      case "SESSION_CONFLICT":
      case "SESSION_LIMIT":
        return "refused";
    }
    this.#journal.violation(`${by} rejects with ${String(error)}`);
    return "unknown";
  }

  #count(user: string, change: number): void {
    this.#logins.set(user, (this.#logins.get(user) ?? 0) + change);
  }
}

/** The call that a call has joined: the innermost one around it that runs and whose token it sees. */
function joinedBy(
  tokens: readonly string[],
  outer: Attempt | undefined,
): Attempt | undefined {
  while (outer && !(outer.running && tokens.includes(outer.token))) {
    outer = outer.outer;
  }
  return outer;
}

/** What one request has done to its session. */
class RequestRun {
  readonly by: string;
  readonly #journal: Journal;
  readonly #ctx: AppContext;
  #keys: string[] = [];
  #count = 0;
  #loggedOut: Lineage | undefined;

  constructor(journal: Journal, by: string, ctx: AppContext) {
    this.#journal = journal;
    this.by = by;
    this.#ctx = ctx;
  }

  /** Writes a key of this request alone; begins a session where there is none. */
  set(): void {
    const ctx = this.#ctx;
    if (!ctx.session) ctx.session = {} as never;
    const id = `${this.by.split(" ")[1]}_${++this.#count}`;
    ctx.session!.L ??= `L${id}`;
    ctx.session![`p${id}`] = 1;
    this.#keys.push(`p${id}`);
  }

  /** Whether the request has logged out of a session. */
  get loggedOut(): boolean {
    return this.#loggedOut !== undefined;
  }

  logOut(): void {
    const { sessionId } = this.#ctx;
    if (sessionId !== undefined) {
      this.#loggedOut = this.#journal.lineageOf(sessionId);
    }
    this.#ctx.session = null;
  }

  /** The session has ended: what was written to it is void. */
  drop(): void {
    this.#keys = [];
  }

  /** What was written was acknowledged. */
  keep(sessionId: string): void {
    const lineage = this.#journal.lineageOf(sessionId);
    if (!lineage) {
      this.#journal.violation(
        `${this.by} is in ${sessionId}, which the store never had`,
      );
      return;
    }
    const { by } = this;
    for (const key of this.#keys) {
      this.#journal.kept.push({ by, key, lineage, at: this.#journal.now });
    }
  }

  /** The session that the request has logged out of, unless it could not follow it. */
  acknowledgedEnd(asked: number): Lineage | undefined {
    const lineage = this.#loggedOut;
    // a basic store does not say which moves sockets follow, nor when they are complete
    const left = lineage?.moves.some(({ at, note }) =>
      note === "unknown"
        ? at >= asked - 10_000
        : at >= asked && note !== "follow"
    );
    return left ? undefined : lineage;
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as { code?: string }).code !== "SESSION_MISSING") throw error;
}
