/** For each rule on begins, moves, former ids and locks, the faults of a store that breaks it. */
import type { BeginOptions, SessionRecord } from "@koa-io/session";
import { type Breakage, type Faults, later } from "./nonconformity.ts";
import type { ReferenceStore } from "./reference_store.ts";

/** Begins in spite of any condition. */
const unconditional = (good: ReferenceStore): Faults => ({
  begin: (sid, record) => good.begin(sid, { ...record, arrived: undefined }),
});

/** Checks the conditions first and begins later. */
const hasty = (good: ReferenceStore): Faults => ({
  async begin(sid: string, record: SessionRecord, options?: BeginOptions) {
    const before = await good.byClient(record.clientId!);
    await later();
    if (before !== undefined && options?.replaces) {
      if (!options.replaces.includes(before)) {
        return { status: "occupied", before };
      }
    }
    const { version } = good.force(sid, record);
    return { status: "begun", version, before };
  },
});

/** Moves in two steps, and under no condition. */
const twoSteps = (good: ReferenceStore): Faults => ({
  async move(from, to, record, _condition, note) {
    if (!await good.read(from)) return { status: "missing" };
    await later();
    const { version } = good.force(to, record);
    await later();
    await good.destroy(from, note);
    return { status: "done", version };
  },
});

/** Moves any session that is there, whatever is under the new id. */
const forced = (good: ReferenceStore): Faults => ({
  async move(from, to, record, _condition, note) {
    const { version } = await good.read(from) ?? {};
    if (version === undefined) return { status: "missing" };
    if (to !== from) await good.destroy(to);
    return good.move(from, to, record, { expected: version }, note);
  },
});

/** Moves a session that is leased, and forgets the lease. */
const leaseless = (good: ReferenceStore): Faults => ({
  async move(from, to, record, condition, note) {
    const stored = await good.read(from);
    if (!stored) return { status: "missing" };
    if ("token" in condition) {
      await good.commit(from, condition.token, undefined);
    }
    const expected = stored.version;
    return good.move(from, to, record, { expected }, note);
  },
});

/** Refuses to move what was ever leased without its token. */
const anyLease = (good: ReferenceStore): Faults => {
  const leased = new Set<string>();
  return {
    acquire(sid, token, holdMs, waitMs) {
      leased.add(sid);
      return good.acquire(sid, token, holdMs, waitMs);
    },
    async move(from, to, record, condition, note) {
      return "expected" in condition && leased.has(from)
        ? { status: "lost" }
        : await good.move(from, to, record, condition, note);
    },
  };
};

const never = new Promise<never>(() => {});

/** Never answers a waiter whose session is missing. */
const silent = (good: ReferenceStore): Faults => ({
  async acquire(sid, token, holdMs, waitMs) {
    const acquired = await good.acquire(sid, token, holdMs, waitMs);
    return acquired.status === "missing" ? never : acquired;
  },
});

/** Locks that are looked at first and taken later. */
const hastyLock = (): Faults => {
  const held = new Set<string>();
  return {
    async tryLock(name) {
      if (held.has(name)) return false;
      await later();
      held.add(name);
      return true;
    },
    unlock: (name) => Promise.resolve(void held.delete(name)),
  };
};

/** By the name of the rule. */
export const NONCONFORMING_MOVES: Readonly<Record<string, Breakage>> = {
  "begin: a new session, and the one that was its client's until then": (
    good,
  ) => ({
    async begin(sid, record, options) {
      const begun = await good.begin(sid, record, options);
      return begun.status === "begun" ? { ...begun, before: undefined } : begun;
    },
  }),
  "begin: refused where there is a session": (good) => ({
    async begin(sid, record, options) {
      const begun = await good.begin(sid, record, options);
      if (begun.status !== "taken") return begun;
      const { version } = good.force(sid, record);
      return { status: "begun", version, before: undefined };
    },
  }),
  "begin: of many for one client, each but the last is told of once": hasty,
  "begin: with replaces, a client with another live session is occupied":
    unconditional,
  "begin: with replaces, a client is free when its session has ended": (
    good,
  ) => {
    const last = new Map<string | undefined, string>();
    return {
      async begin(sid, record, options) {
        const before = last.get(record.clientId);
        if (before !== undefined && options?.replaces) {
          return { status: "occupied", before };
        }
        last.set(record.clientId, sid);
        return await good.begin(sid, record, options);
      },
    };
  },
  "begin: with replaces, a client is free when its session is another's": (
    good,
  ) => {
    const first = new Map<string | undefined, string>();
    return {
      async begin(sid, record, options) {
        const before = first.get(record.clientId);
        if (before !== undefined && await good.read(before)) {
          return { status: "occupied", before };
        }
        first.set(record.clientId, sid);
        return await good.begin(sid, record, options);
      },
    };
  },
  "begin: of many with replaces for one client, one is begun": hasty,
  "begin: of one request that arrived before the client's, superseded":
    unconditional,
  "begin: an arrival that is the same, later or unknown is not superseded": (
    good,
  ) => ({
    async begin(sid, record, options) {
      const before = await good.byClient(record.clientId!);
      const other = before && (await good.read(before))?.arrived;
      return record.arrived !== undefined && other === record.arrived
        ? { status: "superseded" }
        : await good.begin(sid, record, options);
    },
  }),
  "begin: of many arrivals at once for one client, the last one stays": hasty,

  "destroy: with a note, the note is kept on the id": () => ({
    former: () => undefined,
  }),
  "destroy: without a note, nothing is kept": (good) => ({
    destroy: (sid, note) => good.destroy(sid, note ?? ""),
  }),
  "destroy: nothing is kept where there was no session": (good) => {
    const notes = new Map<string, string>();
    return {
      destroy(sid, note) {
        if (note !== undefined) notes.set(sid, note);
        return good.destroy(sid, note);
      },
      former(sid) {
        const note = notes.get(sid);
        return note === undefined
          ? undefined
          : { to: undefined, at: Date.now(), note };
      },
    };
  },
  "former: a note is gone after MOVED_FOR": (good) => {
    const notes = new Map<string, string>();
    return {
      destroy(sid, note) {
        notes.set(sid, note!);
        return good.destroy(sid, note);
      },
      former: (sid) => ({
        to: undefined,
        at: Date.now(),
        note: notes.get(sid)!,
      }),
    };
  },

  "move: the session has the new id and record, and the old id none": (
    good,
  ) => ({
    async move(from, to, record, condition, note) {
      const { data = "" } = await good.read(from) ?? {};
      return await good.move(from, to, { ...record, data }, condition, note);
    },
  }),
  "move: the former id leads to the new one": (good) => ({
    former: async (sid) => {
      const former = await good.former(sid);
      return former && { ...former, to: undefined };
    },
  }),
  "move: look-ups by client and user follow": (good) => {
    const moved = new Set<string>();
    return {
      move(from, to, record, condition, note) {
        moved.add(to);
        return good.move(from, to, record, condition, note);
      },
      byUser: async (user) =>
        (await good.byUser(user)).filter((sid) => !moved.has(sid)),
    };
  },
  "move: a session that its client has replaced does not become the client's": (
    good,
  ) => ({
    async move(from, to, record, condition, note) {
      const result = await good.move(from, to, record, condition, note);
      good.force(to, { ...record, clientId: undefined });
      good.force(to, record);
      return result;
    },
  }),
  "move: another version is lost": forced,
  "move: a session that has ended is missing": (good) => ({
    async move(from, to, record, condition, note) {
      const result = await good.move(from, to, record, condition, note);
      return result.status === "missing" ? { status: "lost" } : result;
    },
  }),
  "move: an id with a session is taken": forced,
  "move: an id whose session has expired is free": (good) => {
    const used = new Set<string>();
    return {
      write(sid, record, expected) {
        used.add(sid);
        return good.write(sid, record, expected);
      },
      async move(from, to, record, condition, note) {
        return used.has(to)
          ? { status: "taken" }
          : await good.move(from, to, record, condition, note);
      },
    };
  },
  "move: of many at once, one moves the session": twoSteps,
  "move: of a move and a destroy, one finds the session": twoSteps,
  "move: of a move and a write, one finds the version": twoSteps,
  "move: at all times is the session under one id": twoSteps,

  "move: with the token, the lease goes on under the new id": leaseless,
  "move: the lease lasts for what is left of it": (good) => ({
    async move(from, to, record, condition, note) {
      const result = await good.move(from, to, record, condition, note);
      if (!("token" in condition)) return result;
      await good.commit(to, condition.token, undefined);
      await good.acquire(to, condition.token, 20_000, 0);
      return result;
    },
  }),
  "move: a token that holds nothing is lost": forced,
  "move: without the token, a lease is in the way": (good) => {
    const tokens = new Map<string, string>();
    return {
      acquire(sid, token, holdMs, waitMs) {
        tokens.set(sid, token);
        return good.acquire(sid, token, holdMs, waitMs);
      },
      move(from, to, record, condition, note) {
        const token = tokens.get(from);
        return good.move(from, to, record, token ? { token } : condition, note);
      },
    };
  },
  "move: an overdue lease is not in the way": anyLease,
  "move: those who wait learn that the session is missing": silent,
  "move: of a move and a commit, one finds the lease": (good) => ({
    async commit(sid, token, record) {
      const committed = await good.commit(sid, token, record);
      const { to } = await good.former(sid) ?? {};
      if (committed.status !== "missing" || to === undefined) return committed;
      const { version } = good.force(to, record);
      return { status: "done", version };
    },
  }),
  "tryLock: one holds a lock until unlock": hastyLock,
  "tryLock: an overdue lock is free": (good) => ({
    tryLock: (name, token) => good.tryLock(name, token, 60_000),
  }),
  "tryLock: a lock is no lease": (good) => ({
    async tryLock(name, token, holdMs) {
      const { status } = await good.acquire(name, token, holdMs, 0);
      return status !== "timeout";
    },
  }),

  "peer: a move on one tells those who wait on the other": (good) => ({
    peer: silent(good),
  }),
  "peer: of moves on both, one moves the session": (good) => ({
    peer: twoSteps(good),
  }),
  "peer: of many begins for one client on both, one is begun": (good) => ({
    peer: hasty(good),
  }),
  "peer: of many locks on both, one is taken": () => ({
    peer: hastyLock(),
  }),
};
