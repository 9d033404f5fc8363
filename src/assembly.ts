/**
 * The parts of a bridge, made in order and connected with each other.
 *
 * @module
 */
import { ServerResponse } from "node:http";
import type { Server, Socket } from "socket.io";
import { Bindings, type Claim } from "./binding.ts";
import { Census } from "./census.ts";
import { Clients } from "./clients.ts";
import { reachesOthers } from "./cluster.ts";
import type { Patient } from "./doctor.ts";
import { Equipment } from "./equipment.ts";
import { Feed } from "./feed.ts";
import { HttpSessions } from "./http.ts";
import type { KoaApplication, KoaContext } from "./koa.ts";
import {
  type Emit,
  isolated,
  Lifecycle,
  type LifecycleParts,
} from "./lifecycle.ts";
import type { ResolvedOptions } from "./options.ts";
import { Membership } from "./membership.ts";
import { OriginGate } from "./origin.ts";
import { Reconciler } from "./reconcile.ts";
import { type OpenStore, openStore } from "./records.ts";
import { SessionStore } from "./session_store.ts";
import { SetupWatch } from "./setup.ts";
import { SocketSessions } from "./socket.ts";
import type { SharedStore } from "./store.ts";
import { Transactions } from "./transaction.ts";
import { Validity } from "./validity.ts";

/** A handshake whose cookies do not count. */
const NOBODY: Claim = { claimed: undefined, genuine: () => undefined };

/** See the module's text. */
export class Assembly implements LifecycleParts {
  readonly opened: OpenStore;
  readonly lifecycle: Lifecycle;
  readonly clients: Clients<Socket>;
  readonly membership: Membership;
  readonly transactions: Transactions;
  readonly http: HttpSessions<Socket>;
  readonly setup: SetupWatch;
  readonly sockets: SocketSessions;
  readonly feed: Feed | undefined;
  readonly #io: Server;
  readonly #options: ResolvedOptions;
  readonly #failed: (error: unknown) => void;
  readonly #bindings: Bindings<Socket>;
  readonly #origin: OriginGate;
  readonly #census: Census | undefined;
  readonly #shared: SharedStore | undefined;
  readonly #reconciler: Reconciler<Socket> | undefined;

  /**
   * @param emit emits an event of the bridge
   * @param failed is told what went wrong where nobody waits for an answer
   */
  constructor(
    app: KoaApplication,
    io: Server,
    options: ResolvedOptions,
    emit: Emit,
    failed: (error: unknown) => void,
  ) {
    this.#io = io;
    this.#options = options;
    this.#failed = (error) => {
      this.#reconciler?.soon();
      failed(error);
    };
    const tell = isolated(emit);
    const lifecycle = this.lifecycle = new Lifecycle(
      io,
      tell,
      this.#failed,
      () => this,
    );
    this.opened = openStore(options, lifecycle);
    const { records, told } = this.opened;
    this.#shared = records.scope === "shared"
      ? records as SharedStore
      : undefined;
    const { store } = this.opened;
    // `valid` is asked about sockets that wait for a session, whoever they follow
    this.#census = store instanceof SessionStore && !options.valid
      ? new Census(store)
      : undefined;
    this.clients = new Clients((known) => void lifecycle.due(known), {
      watchAll: !told,
      hashAll: this.#shared !== undefined,
      census: this.#census,
    });
    this.membership = new Membership(this.clients);
    // what recovery stores of a socket are its rooms
    if (recovers(io)) this.membership.keep();
    this.transactions = new Transactions(records, options, {
      created: (sid, record) => void lifecycle.began(sid, record, "created"),
      written: (sid, record, before) => lifecycle.written(sid, record, before),
      ended: (sid, record, reason) => lifecycle.over(sid, record, reason),
      rotated: (from, to, record, before, sockets) =>
        lifecycle.rotated(from, to, record, before, sockets),
      missed: (sid) => lifecycle.missed(sid),
      conflict: (event) => void tell("sessionConflict", event),
    });
    this.#bindings = new Bindings(
      this.transactions,
      this.clients,
      (sid, record) => void lifecycle.began(sid, record, "rebuilt"),
      (from, sid, record) => lifecycle.moved(from, sid, record),
      options.valid && new Validity(options.valid),
    );
    this.http = new HttpSessions(
      app,
      options,
      this.transactions,
      this.#bindings,
    );
    this.setup = new SetupWatch(() => this.http.ran);
    this.#origin = new OriginGate(
      app,
      options.origin,
      (req) => new ServerResponse(req),
      () =>
        this.setup.watch(
          (io as unknown as { httpServer?: unknown }).httpServer,
        ),
    );
    const { view, expiringNotice } = options;
    if (view) this.membership.keep();
    if (view || expiringNotice !== undefined) {
      const { clients, transactions } = this;
      const failed = this.#failed;
      this.feed = new Feed(io, {
        clients,
        transactions,
        view,
        expiringNotice,
        failed,
      });
    }
    this.sockets = this.#bridgeSockets(app);
    this.#reconciler = this.#reconcile();
    this.#origin.attach(io);
  }

  /** Finds the live session whose id has this hash, where the store can tell. */
  readonly byHash = async (hash: string): Promise<string | undefined> =>
    await this.#shared?.byHash(hash);

  /** What the doctor is to look at. */
  examine(randomKeys: boolean): Patient {
    const { engine } = this.#io as unknown as {
      engine?: { opts?: { cors?: { credentials?: boolean } } };
    };
    return {
      options: this.#options,
      randomKeys,
      scope: this.opened.records.scope,
      manyNodes: reachesOthers(this.#io),
      recovery: recovers(this.#io),
      ran: this.http.ran,
      missed: this.setup.missed,
      corsCredentials: engine?.opts?.cors?.credentials === true,
    };
  }

  /** Undoes hooks and timers. */
  close(): void {
    this.opened.leave();
    this.#census?.close();
    this.http.close();
    this.sockets.close();
    this.#origin.close();
    this.setup.close();
    this.lifecycle.close();
    this.feed?.close();
    this.#reconciler?.close();
    this.clients.close();
  }

  #bridgeSockets(app: KoaApplication): SocketSessions {
    const options = this.#options;
    const { clients, transactions } = this;
    const equipment = new Equipment(clients, transactions, (socket) => {
      const { request, handshake } = socket;
      const ctx = app.createContext(request, new ServerResponse(request));
      return withoutSession(Object.assign(ctx as object, { handshake }));
    });
    return new SocketSessions(this.#io, {
      transactions,
      bindings: this.#bindings,
      clients,
      equipment,
      wantsContext: transactions.wantsContext || options.valid !== undefined,
      membership: this.membership,
      onSessionEnd: options.onSessionEnd,
      touchInterval: options.touchInterval,
      storeTimeout: options.storeTimeout,
      ids: (socket) =>
        this.#origin.isGuest(socket.request)
          ? { sid: undefined, client: NOBODY }
          : this.http.idsOfHandshake(
            socket.request,
            () => equipment.contextOf(socket) as KoaContext,
          ),
      admit: ({ conn, request }) =>
        this.#origin.admit(Reflect.get(conn, "server"), request),
      byHash: this.byHash,
      known: (sid, record) => this.lifecycle.known(sid, record),
      feed: this.feed,
      failed: this.#failed,
    });
  }

  #reconcile(): Reconciler<Socket> | undefined {
    if (!this.#shared) return undefined;
    const { reconcileInterval } = this.#options;
    return new Reconciler(this.#shared, this.clients, reconcileInterval, {
      gone: (known) => this.lifecycle.gone(known),
      guest: (client) => this.lifecycle.guest(client),
      failed: this.#failed,
    });
  }
}

/** Whether Socket.IO's connection state recovery is on. */
function recovers(io: Server): boolean {
  const { opts } = io as unknown as {
    opts?: { connectionStateRecovery?: unknown };
  };
  return Boolean(opts?.connectionStateRecovery);
}

/** In the context of a handshake nobody would write a session back: there is none to get hold of. */
function withoutSession(ctx: object): object {
  return Object.defineProperty(ctx, "session", {
    configurable: true,
    get: () => undefined,
    set() {
      throw new TypeError(
        "Cannot set ctx.session as the context is a handshake's: use socket.withSession",
      );
    },
  });
}
