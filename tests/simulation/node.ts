/** A node: an application and a Socket.IO server with a bridge, from its start to its death. */
import { Server } from "socket.io";
import {
  bridgeSession,
  type SessionBridge,
  type SessionData,
} from "@koa-io/session";
import { createApp } from "../support/app.ts";
import { type AppContext, Application, type Host } from "./application.ts";
import type { Actor } from "./clock.ts";
import { FakeConnection, FakeEngine, type Peer } from "./connection.ts";
import { FakeRequest, FakeResponse } from "./http.ts";
import type { Journal, Lineage } from "./journal.ts";
import type { Entry, Setup, Step } from "./program.ts";

/** What a node is made of. */
export interface NodeParts {
  readonly actor: Actor;
  readonly setup: Setup;
  readonly journal: Journal;
  readonly store: unknown;
  /** Gives the server an adapter that reaches other nodes. */
  readonly attach: ((io: Server) => void) | undefined;
  readonly entries: ReadonlyMap<number, Entry>;
  /** Requests that are giving a session to a user, by user. */
  readonly logins: Map<string, number>;
  genid(): string;
  /** An end was acknowledged. */
  acknowledged(by: string, node: string, lineage: Lineage): void;
}

type StepsEntry = Entry & { readonly steps: readonly Step[] };

/** A server's socket, as far as the simulation needs it. */
export interface ServerSocket {
  readonly id: string;
  readonly clientId: string | undefined;
  readonly sessionId: string | undefined;
  withSession(handler: unknown, missing: unknown): Promise<unknown>;
  on(event: string, listener: (id: number) => void): unknown;
}

/** One life of a node. */
export class SimulatedNode implements Host {
  readonly actor: Actor;
  readonly journal: Journal;
  readonly io: Server;
  readonly bridge: SessionBridge;
  /** The rooms of the adapter that have members. */
  readonly rooms = new Set<string>();
  readonly #engine = new FakeEngine();
  readonly #application: Application;
  readonly #callback: (req: unknown, res: unknown) => void;
  readonly #acknowledged: NodeParts["acknowledged"];
  readonly #entries: ReadonlyMap<number, Entry>;

  constructor(parts: NodeParts) {
    const { actor, journal, setup } = parts;
    this.actor = actor;
    this.journal = journal;
    this.#acknowledged = parts.acknowledged;
    this.#entries = parts.entries;
    this.#application = new Application(this, parts.logins);
    const app = createApp();
    app.on("error", (error: Error & { code?: string }) => {
      journal.log(() => `${actor.name} request fails: ${error.message}`);
      if (!error.code?.startsWith("SESSION_")) {
        journal.violation(`a request fails with ${error.stack}`);
      }
    });
    this.io = new Server({ serveClient: false });
    parts.attach?.(this.io);
    app.use((ctx, next) =>
      this.#application.serve(
        this.#entryOf(ctx.get("x-entry")),
        ctx as unknown as AppContext,
        next,
        Number(ctx.get("x-asked")),
      )
    );
    const { user, maxSessions } = setup;
    this.bridge = bridgeSession(app as never, this.io, {
      appKeys: ["a", "b"],
      key: "sid",
      store: parts.store as never,
      maxAge: setup.maxAge,
      rolling: setup.rolling,
      lockTimeout: setup.lockTimeout,
      storeTimeout: setup.storeTimeout,
      reconcileInterval: 10_000,
      onSessionEnd: setup.onSessionEnd,
      origin: "any",
      genid: () => parts.genid(),
      ...user
        ? {
          user: (session: SessionData) => session.user as string | undefined,
          onUserChange: setup.onUserChange,
          ...maxSessions === undefined ? {} : { maxSessions },
        }
        : {},
    });
    app.use((ctx) => this.#application.handle(ctx as unknown as AppContext));
    this.#callback = app.callback() as never;
    this.io.bind(this.#engine as never);
    this.#watch();
  }

  get name(): string {
    return this.actor.name;
  }

  get dead(): boolean {
    return this.actor.dead;
  }

  /** The sockets that are connected. */
  get sockets(): readonly ServerSocket[] {
    return [...this.io.of("/").sockets.values()] as unknown as ServerSocket[];
  }

  withSession(
    sid: string,
    handler: never,
    missing: unknown,
  ): Promise<unknown> {
    return this.bridge.withSession(sid, handler, missing);
  }

  acknowledged(by: string, lineage: Lineage): void {
    this.#acknowledged(by, this.name, lineage);
    for (const { id, sessionId } of this.sockets) {
      // a move that this node has not learnt of yet is a matter of time
      if (sessionId !== undefined && lineage.ids.at(-1) === sessionId) {
        this.journal.violation(
          `${by} ended ${lineage.name}, and socket ${id} on ${this.name} is still in ${sessionId}`,
        );
      }
    }
  }

  /** Serves a request. */
  serve(
    entry: Entry,
    cookie: string,
    ended: (response: FakeResponse) => void,
  ): void {
    const request = new FakeRequest("/", {
      cookie,
      host: "localhost",
      "x-entry": String(entry.id),
      "x-asked": String(this.journal.now),
    });
    this.#callback(request, new FakeResponse(ended));
  }

  /** Accepts a connection. */
  accept(cookie: string, peer: Peer): FakeConnection {
    const request = new FakeRequest("/socket.io/", {
      cookie,
      host: "localhost",
    });
    const connection = new FakeConnection(request, this.#engine, peer);
    this.#engine.emit("connection", connection);
    return connection;
  }

  /** Makes the calls of a program by id. */
  async call(entry: StepsEntry, sid: string | undefined): Promise<void> {
    await this.#application.run(
      `call ${entry.id}`,
      entry.steps,
      undefined,
      () => sid,
    );
  }

  #watch(): void {
    const { io, bridge, journal, name } = this;
    const { adapter } = io.of("/");
    adapter.on("create-room", (room: string) => void this.rooms.add(room));
    adapter.on("delete-room", (room: string) => void this.rooms.delete(room));
    io.on("connection", (socket) => {
      const own = socket as unknown as ServerSocket;
      journal.log(() =>
        `${name} socket ${own.id} connects: ${own.sessionId} of ${own.clientId}`
      );
      own.on("entry", (id) => {
        const entry = this.#entryOf(id);
        const by = `event ${id}`;
        void this.#application.run(
          by,
          entry.steps,
          (handler, missing) => own.withSession(handler, missing),
          () => own.sessionId,
        );
      });
    });
    const report = (
      type: "start" | "end",
      sid: string,
      why: string,
    ) => {
      journal.log(() => `${name} session${type} ${sid} ${why}`);
      journal.reports.push({ node: name, type, sid, why, at: journal.now });
    };
    bridge.on("sessionStart", ({ sessionId, cause, local }) => {
      report("start", sessionId, `${cause}${local ? "" : " elsewhere"}`);
    });
    bridge.on("sessionEnd", ({ sessionId, reason, local }) => {
      report("end", sessionId, `${reason}${local ? "" : " elsewhere"}`);
    });
    bridge.on("error", (error) => {
      journal.log(() => `${name} error ${error.message}`);
      if (!("code" in error)) {
        journal.violation(`${name} emits ${String(error)}`);
      }
    });
  }

  #entryOf(id: unknown): StepsEntry {
    return this.#entries.get(Number(id)) as StepsEntry;
  }
}
