/**
 * The parts of a bridge, made in order and connected with each other.
 *
 * @module
 */
import { ServerResponse } from "node:http";
import type { Server, Socket } from "socket.io";
import {
  ClientBindings,
  type ClientClaim,
  SessionValidity,
} from "../identity/client_binding.ts";
import { SeenSessions } from "../identity/seen_sessions.ts";
import { SessionRegistry } from "../identity/registry.ts";
import type { SetupReport } from "./doctor.ts";
import { SocketExtension } from "../sockets/socket_extension.ts";
import { ViewPublisher } from "../sockets/view_publisher.ts";
import { HttpMiddleware } from "../http/middleware.ts";
import type { KoaApplication, KoaContext } from "../api/koa.ts";
import {
  type Emit,
  isolated,
  type LifecycleDeps,
  SessionLifecycle,
} from "../lifecycle/lifecycle.ts";
import type { ResolvedOptions } from "../api/options.ts";
import { SessionRooms } from "../sockets/rooms.ts";
import { OriginGate } from "../sockets/origin.ts";
import { Reconciler } from "../lifecycle/reconciler.ts";
import { type OpenStore, openStore } from "../stores/open_store.ts";
import { SessionStore } from "../stores/memory.ts";
import { OrderCheck } from "./order_check.ts";
import { SocketSessions } from "../sockets/sockets.ts";
import type { SharedStore } from "../api/store.ts";
import { Transactions } from "../transaction/transactions.ts";
import {
  allowsCorsCredentials,
  engineOfSocket,
  hasClusterAdapter,
  hasConnectionRecovery,
  httpServerOf,
} from "../sockets/socket_io.ts";

/** A handshake whose cookies do not count. */
const NO_CLIENT: ClientClaim = {
  unverified: undefined,
  verified: () => undefined,
};

/** See the module's text. */
export class BridgeParts implements LifecycleDeps {
  readonly opened: OpenStore;
  readonly lifecycle: SessionLifecycle;
  readonly clients: SessionRegistry<Socket>;
  readonly membership: SessionRooms;
  readonly transactions: Transactions;
  readonly http: HttpMiddleware<Socket>;
  readonly setup: OrderCheck;
  readonly sockets: SocketSessions;
  readonly feed: ViewPublisher | undefined;
  readonly #io: Server;
  readonly #options: ResolvedOptions;
  readonly #failed: (error: unknown) => void;
  readonly #bindings: ClientBindings<Socket>;
  readonly #origin: OriginGate;
  readonly #census: SeenSessions | undefined;
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
      this.#reconciler?.runSoon();
      failed(error);
    };
    const tell = isolated(emit);
    const lifecycle = this.lifecycle = new SessionLifecycle(
      io,
      tell,
      this.#failed,
      () => this,
    );
    this.opened = openStore(options, lifecycle);
    const { records, reportsRemovals: told } = this.opened;
    this.#shared = records.scope === "shared"
      ? records as SharedStore
      : undefined;
    const { store } = this.opened;
    // `valid` is asked about sockets that wait for a session, whoever they follow
    this.#census = store instanceof SessionStore && !options.valid
      ? new SeenSessions(store)
      : undefined;
    this.clients = new SessionRegistry(
      (known) => void lifecycle.expiryDue(known),
      {
        watchAll: !told,
        hashAll: this.#shared !== undefined,
        census: this.#census,
      },
    );
    this.membership = new SessionRooms(this.clients);
    // what recovery stores of a socket are its rooms
    if (hasConnectionRecovery(io)) this.membership.enable();
    this.transactions = new Transactions(records, options, {
      created: (sid, record) => void lifecycle.started(sid, record, "created"),
      written: (sid, record, before) => lifecycle.written(sid, record, before),
      ended: (sid, record, reason) => lifecycle.ended(sid, record, reason),
      rotated: (from, to, record, before, sockets) =>
        lifecycle.rotated(from, to, record, before, sockets),
      missed: (sid) => lifecycle.missed(sid),
      conflict: (event) => void tell("sessionConflict", event),
    });
    this.#bindings = new ClientBindings(
      this.transactions,
      this.clients,
      (sid, record) => void lifecycle.started(sid, record, "rebuilt"),
      (from, sid, record) => lifecycle.rebound(from, sid, record),
      options.valid && new SessionValidity(options.valid),
    );
    this.http = new HttpMiddleware(
      app,
      options,
      this.transactions,
      this.#bindings,
    );
    this.setup = new OrderCheck(() => this.http.ran);
    this.#origin = new OriginGate(
      app,
      options.origin,
      (req) => new ServerResponse(req),
      () => this.setup.watch(httpServerOf(io)),
    );
    const { view, expiringNotice } = options;
    if (view) this.membership.enable();
    if (view || expiringNotice !== undefined) {
      const { clients, transactions } = this;
      const failed = this.#failed;
      this.feed = new ViewPublisher(io, {
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
  setupReport(randomKeys: boolean): SetupReport {
    return {
      options: this.#options,
      randomKeys,
      scope: this.opened.records.scope,
      manyNodes: hasClusterAdapter(this.#io),
      recovery: hasConnectionRecovery(this.#io),
      ran: this.http.ran,
      missed: this.setup.missed,
      corsCredentials: allowsCorsCredentials(this.#io),
    };
  }

  /** Undoes hooks and timers. */
  close(): void {
    this.opened.unsubscribe();
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
    const extension = new SocketExtension(clients, transactions, (socket) => {
      const { request, handshake } = socket;
      const ctx = app.createContext(request, new ServerResponse(request));
      return withoutSession(Object.assign(ctx as object, { handshake }));
    });
    return new SocketSessions(this.#io, {
      transactions,
      bindings: this.#bindings,
      clients,
      extension,
      wantsContext: transactions.wantsContext || options.valid !== undefined,
      rooms: this.membership,
      onSessionEnd: options.onSessionEnd,
      touchInterval: options.touchInterval,
      storeTimeout: options.storeTimeout,
      ids: (socket) =>
        this.#origin.isGuest(socket.request)
          ? { sid: undefined, client: NO_CLIENT }
          : this.http.idsOfHandshake(
            socket.request,
            () => extension.contextOf(socket) as KoaContext,
          ),
      admit: (socket) =>
        this.#origin.admit(engineOfSocket(socket), socket.request),
      byHash: this.byHash,
      track: (sid, record) => this.lifecycle.track(sid, record),
      views: this.feed,
      failed: this.#failed,
    });
  }

  #reconcile(): Reconciler<Socket> | undefined {
    if (!this.#shared) return undefined;
    const { reconcileInterval } = this.#options;
    return new Reconciler(this.#shared, this.clients, reconcileInterval, {
      gone: (known) => this.lifecycle.resync(known),
      guest: (client) => this.lifecycle.resyncClient(client),
      failed: this.#failed,
    });
  }
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
