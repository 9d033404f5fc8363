/**
 * Wiring: constructs the parts of a bridge and connects them.
 *
 * @module
 */
import { ServerResponse } from "node:http";
import type { Server } from "socket.io";
import type { KoaApplication } from "../api/koa.ts";
import type { ResolvedOptions } from "../api/options.ts";
import type { SharedStore } from "../api/store.ts";
import { HttpMiddleware } from "../http/middleware.ts";
import { ClientBindings } from "../identity/client_binding.ts";
import { IncomingIds } from "../identity/incoming_ids.ts";
import { SessionRegistry } from "../identity/registry.ts";
import { SeenSessions } from "../identity/seen_sessions.ts";
import { SessionValidity } from "../identity/validity.ts";
import { type Emit, isolated } from "../lifecycle/emit.ts";
import { SessionLifecycle } from "../lifecycle/lifecycle.ts";
import { Reconciler } from "../lifecycle/reconciler.ts";
import { UserFacts } from "../lifecycle/user_facts.ts";
import { handshakeContext } from "../sockets/handshake_context.ts";
import { allowsCorsCredentials, engineOf } from "../sockets/engine_io.ts";
import { OriginGate } from "../sockets/origin.ts";
import { RoomNames } from "../sockets/room_names.ts";
import { SessionRooms } from "../sockets/rooms.ts";
import { SocketExtension } from "../sockets/socket_extension.ts";
import {
  hasClusterAdapter,
  hasConnectionRecovery,
  httpServerOf,
} from "../sockets/socket_io.ts";
import { SocketSessions } from "../sockets/sockets.ts";
import { ViewPublisher } from "../sockets/view_publisher.ts";
import { SessionStore } from "../stores/memory.ts";
import { type OpenStore, openStore } from "../stores/open_store.ts";
import { Transactions } from "../transaction/transactions.ts";
import type { SetupReport } from "./doctor.ts";
import { OrderCheck } from "./order_check.ts";
import { refuseMounting } from "./preconditions.ts";

/** The parts of one bridge. */
export class BridgeParts {
  readonly opened: OpenStore;
  readonly lifecycle: SessionLifecycle;
  readonly registry: SessionRegistry;
  readonly rooms: SessionRooms;
  readonly transactions: Transactions;
  readonly http: HttpMiddleware;
  readonly extension: SocketExtension;
  readonly #app: KoaApplication;
  readonly #io: Server;
  readonly #options: ResolvedOptions;
  readonly #orderCheck: OrderCheck;
  readonly #userFacts: UserFacts;
  readonly #origin: OriginGate;
  readonly #allowMounting: () => void;
  readonly #sockets: SocketSessions;
  readonly #seen: SeenSessions | undefined;
  readonly #views: ViewPublisher | undefined;
  readonly #reconciler: Reconciler | undefined;

  /**
   * @param emit emits an event of the bridge
   * @param report receives errors of operations that no caller awaits; returns whether anybody listens
   */
  constructor(
    app: KoaApplication,
    io: Server,
    options: ResolvedOptions,
    emit: Emit,
    report: (error: unknown) => boolean,
  ) {
    this.#app = app;
    this.#io = io;
    this.#options = options;
    const failed = (error: unknown) => {
      this.#reconciler?.runSoon();
      report(error);
    };
    const lifecycle = new SessionLifecycle(io, isolated(emit), failed);
    const opened = openStore(options, lifecycle, failed);
    const { records } = opened;
    const shared = records.scope === "shared";
    // `valid` is asked about sockets that wait for a session of any client
    this.#seen = opened.store instanceof SessionStore && !options.valid
      ? new SeenSessions(opened.store)
      : undefined;
    const registry = new SessionRegistry(lifecycle, {
      watchAll: !opened.reportsRemovals,
      hashAll: shared,
      seen: this.#seen,
    });
    const transactions = new Transactions(records, options, lifecycle);
    const bindings = new ClientBindings(
      transactions,
      registry,
      lifecycle,
      options.valid && new SessionValidity(options.valid),
    );
    const ids = new IncomingIds(app, options);
    this.#allowMounting = refuseMounting(app);
    this.http = new HttpMiddleware(
      app,
      options,
      transactions,
      bindings,
      ids,
      failed,
    );
    this.#orderCheck = new OrderCheck(this.http);
    this.#userFacts = new UserFacts(options.user !== undefined);
    this.#origin = new OriginGate(
      app,
      options.origin,
      (req) => new ServerResponse(req),
      () => this.#orderCheck.watch(httpServerOf(io)),
    );
    const names = new RoomNames(app);
    const rooms = new SessionRooms(registry, names, failed);
    const { view, expiringNotice } = options;
    // what is sent to a room while a socket is away is recovered by its persisted rooms
    if (view || hasConnectionRecovery(io)) rooms.enable();
    const common = { registry, transactions, failed };
    this.#views = view || expiringNotice !== undefined
      ? new ViewPublisher(io, {
        ...common,
        names,
        shared,
        view,
        expiringNotice,
      })
      : undefined;
    this.extension = new SocketExtension(
      registry,
      transactions,
      (socket) => handshakeContext(app, socket),
      report,
    );
    this.#sockets = new SocketSessions(io, {
      ...common,
      bindings,
      ids,
      rooms,
      origin: this.#origin,
      extension: this.extension,
      views: this.#views,
      wantsContext: transactions.mayReadContext || options.valid !== undefined,
      onSessionEnd: options.onSessionEnd,
      touchInterval: options.touchInterval,
      storeTimeout: options.storeTimeout,
    });
    lifecycle.attach({
      transactions,
      registry,
      sockets: this.#sockets,
      views: this.#views,
      shared,
      userFacts: this.#userFacts,
    });
    if (shared) {
      this.#reconciler = new Reconciler(
        records as SharedStore,
        registry,
        options,
        lifecycle.sync,
        failed,
      );
    }
    this.#origin.attach(io);
    this.opened = opened;
    this.lifecycle = lifecycle;
    this.registry = registry;
    this.rooms = rooms;
    this.transactions = transactions;
  }

  /** The facts that `bridge.doctor()` examines. */
  setupReport(randomKeys: boolean): SetupReport {
    return {
      options: this.#options,
      randomKeys,
      scope: this.opened.records.scope,
      manyNodes: hasClusterAdapter(this.#io),
      recovery: hasConnectionRecovery(this.#io),
      attached: engineOf(this.#io) !== undefined,
      ran: this.http.ran,
      requests: this.http.requests,
      keys: this.#app.keys,
      missed: this.#orderCheck.missed,
      secondKoaSession: this.http.hasSecondKoaSession,
      corsCredentials: allowsCorsCredentials(this.#io),
      users: this.#userFacts,
    };
  }

  /** Removes hooks and timers. */
  close(): void {
    this.opened.unsubscribe();
    this.#seen?.close();
    this.#allowMounting();
    this.http.close();
    this.#sockets.close();
    this.#origin.close();
    this.#orderCheck.close();
    this.lifecycle.close();
    this.#views?.close();
    this.#reconciler?.close();
    this.transactions.close();
    this.registry.close();
  }
}
