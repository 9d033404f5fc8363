/** The stores of simulations, and what is really in them. */
import {
  type BasicStore,
  type SessionData,
  type SessionRecord,
  SessionStore,
  type SharedStore,
  type StoredRecord,
} from "@koa-io/session";
import {
  type ReferenceStore,
  referenceStore,
} from "../support/stores/reference_store.ts";
import type { Journal } from "./journal.ts";

/** Makes a call to a store; `apply` has its effect. */
export type Call = <T>(name: string, apply: () => T | Promise<T>) => Promise<T>;

/** What a store really holds of a session. */
export interface Truth {
  readonly sid: string;
  readonly data: SessionData;
  readonly clientId: string | undefined;
  readonly user: string | undefined;
}

/** A store that all nodes of a simulation use. */
export interface Central {
  /** The live sessions. */
  truth(): Truth[];
  /** The store of one node. */
  connect(call: Call): unknown;
}

/** A shared store. */
export class SharedCentral implements Central {
  readonly #records = new Map<string, StoredRecord>();
  readonly #store: ReferenceStore;
  readonly #journal: Journal | undefined;

  constructor(journal?: Journal) {
    this.#journal = journal;
    this.#store = referenceStore({
      records: this.#records,
      former: new Map(),
      leases: new Map(),
      locks: new Map(),
      lines: new Map(),
      timers: new Set(),
      version: 0,
    });
  }

  truth(): Truth[] {
    return [...this.#records].filter(([, { expires }]) => expires > Date.now())
      .map(([sid, record]) => truthOf(sid, record));
  }

  connect(call: Call): SharedStore {
    const store = this.#store;
    const journal = this.#journal;
    return {
      scope: "shared",
      read: (sid) => call(`read ${sid}`, () => store.read(sid)),
      write: (sid, record, expected) =>
        call(
          `write ${sid} v${expected} ${record.data}`,
          () => {
            this.#note(sid, record);
            return store.write(sid, record, expected);
          },
        ),
      begin: (sid, record, options) =>
        call(`begin ${sid} of ${record.clientId} ${record.data}`, async () => {
          const begun = await store.begin(sid, record, options);
          if (begun.status === "begun") journal?.began(sid);
          return begun;
        }),
      extend: (sid, expires, lastUsed) =>
        call(`extend ${sid}`, () => store.extend(sid, expires, lastUsed)),
      destroy: (sid, note) =>
        call(`destroy ${sid}`, async () => {
          const existed = await store.destroy(sid, note);
          if (existed) journal?.ended(sid);
          return existed;
        }),
      move: (from, to, record, condition, note) =>
        call(`move ${from} ${to} ${note} ${record.data}`, async () => {
          const moved = await store.move(from, to, record, condition, note);
          if (moved.status === "done") journal?.moved(from, to, note);
          return moved;
        }),
      former: (sid) => call(`former ${sid}`, () => store.former(sid)),
      byClient: (id) => call("byClient", () => store.byClient(id)),
      byUser: (user) => call("byUser", () => store.byUser(user)),
      acquire: (sid, token, holdMs, waitMs) =>
        call(
          `acquire ${sid} ${token.slice(0, 4)}`,
          () => store.acquire(sid, token, holdMs, waitMs),
        ),
      commit: (sid, token, record) =>
        call(
          `commit ${sid} ${token.slice(0, 4)} ${record?.data ?? ""}`,
          () => {
            if (record) this.#note(sid, record);
            return store.commit(sid, token, record);
          },
        ),
      tryLock: (name, token, holdMs) =>
        call(`tryLock ${name}`, () => store.tryLock(name, token, holdMs)),
      unlock: (name, token) =>
        call(`unlock ${name}`, () => store.unlock(name, token)),
      byHash: (hash) => call("byHash", () => store.byHash(hash)),
      versions: (sids) => call(`versions ${sids}`, () => store.versions(sids)),
      close() {},
    };
  }

  /** Notes a session that is bound to another client. */
  #note(sid: string, { clientId }: SessionRecord): void {
    const before = this.#records.get(sid)?.clientId;
    if (clientId === undefined || clientId === before) return;
    this.#journal?.rebound.add(clientId);
  }

  /** Stops the timers of the store. */
  close(): void {
    void this.#store.close();
  }
}

/** The store in memory: one node has it, and loses it when it dies. */
export class MemoryCentral implements Central {
  readonly #journal: Journal;
  readonly #maxAge: number;
  #store: SessionStore | undefined;

  constructor(journal: Journal, maxAge: number) {
    this.#journal = journal;
    this.#maxAge = maxAge;
  }

  truth(): Truth[] {
    const store = this.#store!;
    return [...store.keys()].flatMap((sid) => {
      const record = store.has(sid) ? store.read(sid) : undefined;
      return record && record.expires > Date.now()
        ? [truthOf(sid, record)]
        : [];
    });
  }

  connect(): SessionStore {
    const journal = this.#journal;
    const store = new class extends SessionStore {
      override begin(...args: Parameters<SessionStore["begin"]>) {
        // before listeners of the store read it
        journal.began(args[0]);
        return super.begin(...args);
      }

      override move(...args: Parameters<SessionStore["move"]>) {
        const moved = super.move(...args);
        if (moved.status === "done") journal.moved(args[0], args[1], args[4]);
        return moved;
      }
    }({ maxAge: this.#maxAge });
    store.on("removed", (sid, reason) => {
      if (reason !== "moved") journal.ended(sid);
    });
    return this.#store = store;
  }
}

/** An asynchronous store of the basic tier: one node uses it, and finds it again after a restart. */
export class BasicCentral implements Central {
  readonly #entries = new Map<string, { text: string; until: number }>();
  readonly #journal: Journal;
  readonly #reports: boolean;

  /** @param reports whether it has `on` */
  constructor(journal: Journal, reports: boolean) {
    this.#journal = journal;
    this.#reports = reports;
  }

  truth(): Truth[] {
    return [...this.#entries].filter(([, { until }]) => until > Date.now())
      .flatMap(([sid, { text }]) => {
        const { _bridge, _expire, ...data } = JSON.parse(text);
        if ((_expire as number) <= Date.now()) return [];
        const { clientId, user } = Object(_bridge);
        return [{ sid, data, clientId, user }];
      });
  }

  connect(call: Call): BasicStore {
    const entries = this.#entries;
    const journal = this.#journal;
    const listeners: ((store: unknown, sid: string) => void)[] = [];
    const store: BasicStore = {
      get: (sid) =>
        call(`get ${sid}`, () => {
          const entry = entries.get(sid);
          return entry && entry.until > Date.now()
            ? JSON.parse(entry.text) as SessionData
            : undefined;
        }),
      set: (sid, session, maxAge) => {
        const text = JSON.stringify(session);
        return call(`set ${sid} ${text}`, () => {
          journal.stored(sid, session);
          const life = typeof maxAge === "number" ? maxAge : 86_400_000;
          entries.set(sid, { text, until: Date.now() + life });
        });
      },
      destroy: (sid) =>
        call(`destroy ${sid}`, () => {
          if (!entries.delete(sid)) return;
          journal.left(sid);
          for (const listener of listeners) listener(store, sid);
        }),
    };
    if (this.#reports) {
      store.on = (_event, listener) => void listeners.push(listener);
    }
    return store;
  }
}

function truthOf(sid: string, record: SessionRecord): Truth {
  const { data, clientId, user } = record;
  return { sid, data: JSON.parse(data) as SessionData, clientId, user };
}
