/** For each rule of the conformance kit, what is wrong with a store that breaks it. */
import type {
  Acquired,
  SessionData,
  SessionRecord,
  StoredRecord,
  Version,
} from "@koa-io/session";
import type { ReferenceStore } from "./reference_store.ts";
import { pause } from "./wait.ts";

/** What stands in the place of the good store's members. */
export type Faults = Partial<ReferenceStore>;

/** The faults of a store, or, under `peer`, of the second one. */
export type Breakage = (good: ReferenceStore) => Faults | { peer: Faults };

type Read = StoredRecord | undefined;

/** After the others have had their turn. */
const later = () => pause(0);

/** Looks first and writes later, as if nobody else were there. */
const careless = (good: ReferenceStore): Faults => ({
  async write(sid, record, expected) {
    const { version } = await good.read(sid) ?? {};
    await later();
    if ((version ?? null) !== expected) return undefined;
    return good.force(sid, record).version;
  },
});

/** Writes for whoever asks, whatever its token. */
const tokenless = (good: ReferenceStore): Faults => ({
  async commit(sid, token, record) {
    const committed = await good.commit(sid, token, record);
    if (committed.status === "done") return committed;
    if (!record) return committed;
    return { status: "done", version: good.force(sid, record).version };
  },
});

/** Gives a session to everybody at once. */
const lockless = (good: ReferenceStore): Faults => ({
  ...tokenless(good),
  async acquire(sid) {
    const record = await good.read(sid);
    await later();
    return record
      ? { status: "granted", record }
      : { status: "missing", waited: false };
  },
});

/** Forgets to take those who gave up out of the line. */
const unforgetting = (good: ReferenceStore): Faults => ({
  acquire: (sid, token, holdMs, waitMs) =>
    Promise.race([
      good.acquire(sid, token, holdMs, 60_000),
      pause(waitMs > 5_000 ? 1 : waitMs).then((): Acquired => ({
        status: "timeout",
      })),
    ]),
});

/** Last come, first served. */
const reversed = (good: ReferenceStore): Faults => {
  const line: string[] = [];
  return {
    async acquire(sid, token, holdMs, waitMs) {
      line.push(token);
      const end = Date.now() + Math.min(waitMs, 5_000);
      while (Date.now() < end) {
        if (line.at(-1) === token) {
          const acquired = await good.acquire(sid, token, holdMs, 0);
          if (acquired.status !== "timeout") {
            line.pop();
            return acquired;
          }
        }
        await pause(5);
      }
      return { status: "timeout" };
    },
  };
};

/** As some databases do to text. */
const lossy = (text: string) => text.replaceAll("\u2028", " ");

const never = new Promise<never>(() => {});

/** By the name of the rule. */
export const BROKEN: Readonly<Record<string, Breakage>> = {
  "get: nothing for an id that was never set": (good) => ({
    get: (sid) => good.get(sid) ?? {},
  }),
  "get: nothing for an id named like a member of objects": (good) => ({
    get: (sid) => good.get(sid) ?? ({} as Record<string, SessionData>)[sid],
  }),
  "set: the session is read back as it was": (good) => ({
    set: (sid, { user: _, ...session }, maxAge) =>
      good.set(sid, session, maxAge),
  }),
  "set: what the bridge and koa-session add is kept": (good) => ({
    set: (sid, { _bridge: _, ...session }, maxAge) =>
      good.set(sid, session, maxAge),
  }),
  "set: odd data is read back as it was": (good) => ({
    set: (sid, session, maxAge) =>
      good.set(sid, JSON.parse(lossy(JSON.stringify(session))), maxAge),
  }),
  "set: a megabyte is read back as it was": (good) => ({
    set: (sid, session, maxAge) =>
      good.set(
        sid,
        JSON.stringify(session).length > 65_535 ? {} : session,
        maxAge,
      ),
  }),
  "set: takes the place of the whole session": (good) => ({
    set: async (sid, session, maxAge) =>
      good.set(sid, { ...await good.get(sid), ...session }, maxAge),
  }),
  "set: the caller's object is not what is stored": () => {
    const kept = new Map<string, SessionData>();
    return {
      set: (sid, session) => kept.set(sid, session),
      get: (sid) => structuredClone(kept.get(sid)),
    };
  },
  "get: what it hands out is not what is stored": () => {
    const kept = new Map<string, SessionData>();
    return {
      set: (sid, session) => kept.set(sid, structuredClone(session)),
      get: (sid) => kept.get(sid),
    };
  },
  "set: ids that differ in one character are two sessions": (good) => ({
    set: (sid, session, maxAge) => good.set(sid.toLowerCase(), session, maxAge),
    get: (sid) => good.get(sid.toLowerCase()),
  }),
  "set: many at once, each keeps its own": (good) => {
    let pending: SessionData;
    return {
      async set(sid, session, maxAge) {
        pending = session;
        await later();
        good.set(sid, pending, maxAge);
      },
    };
  },
  "set: of many at once for one id, one is kept whole": (good) => {
    let first: SessionData | undefined;
    return {
      set: (sid, session, maxAge) =>
        good.set(sid, { ...session, again: (first ??= session).again }, maxAge),
    };
  },
  "set: a session lives for its maxAge": (good) => ({
    set: (sid, session, maxAge) =>
      good.set(sid, session, maxAge as number / 100),
  }),
  "set: a session is gone after its maxAge": (good) => ({
    set: (sid, session) => good.set(sid, session),
  }),
  "set: writing again prolongs the life": (good) => {
    const ends = new Map<string, number>();
    return {
      set(sid, session, maxAge) {
        const end = ends.get(sid) ?? Date.now() + (maxAge as number);
        ends.set(sid, end);
        good.set(sid, session, end - Date.now());
      },
    };
  },
  'set: with maxAge "session" it outlives the moment': (good) => ({
    set: (sid, session, maxAge) =>
      good.set(sid, session, maxAge === "session" ? 0 : maxAge),
  }),
  "set: a thousand sessions go when their time is over": (good) => {
    let n = 0;
    return {
      set: (sid, session, maxAge) =>
        good.set(sid, session, n++ % 2 ? maxAge : "session"),
    };
  },
  "destroy: the session is gone": () => ({ destroy: () => true }),
  "destroy: an id without a session is no error": (good) => ({
    destroy(sid, options) {
      if (!good.get(sid)) throw new Error("no such session");
      return good.destroy(sid, options);
    },
  }),
  "touch: brings nothing back": (good) => ({ touch: good.set }),
  "touch: does not change the data": (good) => ({ touch: good.set }),
  'on: "destroy" tells the store and the id': () => ({ on: () => {} }),

  "read: nothing for an id that was never written": (good) => ({
    read: async (sid) => await good.read(sid) ?? { version: 0 } as StoredRecord,
  }),
  "write: what was written is read back, with its version": (good) => ({
    write: (sid, record, expected) =>
      good.write(sid, { ...record, settled: false }, expected),
  }),
  "write: the text of the data is kept to the character": (good) => ({
    write(sid, record, expected) {
      const data = lossy(record.data);
      return good.write(sid, { ...record, data }, expected);
    },
  }),
  "write: a megabyte is kept": (good) => ({
    write: (sid, record, expected) =>
      record.data.length > 65_535
        ? undefined
        : good.write(sid, record, expected),
  }),
  "write: odd ids, users and clients are told apart": (good) => ({
    write: (sid, record, expected) =>
      good.write(sid.normalize(), record, expected),
  }),
  "read: what it handed out stays as it was": (good) => {
    const handedOut = new Map<string, StoredRecord>();
    return {
      async read(sid) {
        const record = await good.read(sid);
        if (record) handedOut.set(sid, record);
        return record;
      },
      async extend(sid, expires) {
        const extended = await good.extend(sid, expires);
        Object.assign(handedOut.get(sid) ?? {}, await good.read(sid));
        return extended;
      },
    };
  },
  "write: the caller's object is not what is stored": (good) => {
    const kept = new Map<string, SessionRecord>();
    return {
      write(sid, record, expected) {
        kept.set(sid, record);
        return good.write(sid, record, expected);
      },
      async read(sid) {
        const stored = await good.read(sid);
        return stored && { ...stored, ...kept.get(sid) };
      },
    };
  },
  "write: null is refused where there is a session": (good) => ({
    write: (sid, record, expected) =>
      expected === null
        ? good.force(sid, record).version
        : good.write(sid, record, expected),
  }),
  "write: the expected version is replaced whole, by another version": (
    good,
  ) => ({
    async write(sid, record, expected) {
      const old = await good.read(sid);
      return good.write(
        sid,
        { ...record, user: record.user ?? old?.user },
        expected,
      );
    },
  }),
  "write: an old version is refused": (good) => ({
    async write(sid, record, expected) {
      const old = await good.read(sid);
      return good.write(
        sid,
        record,
        old && expected !== null ? old.version : expected,
      );
    },
  }),
  "write: a write of the same data changes the version": (good) => ({
    async write(sid, record, expected) {
      const old = await good.read(sid);
      return old && old.version === expected && old.data === record.data
        ? expected
        : good.write(sid, record, expected);
    },
  }),
  "write: a version is refused where there is no session": (good) => ({
    write: async (sid, record, expected) =>
      good.write(sid, record, await good.read(sid) ? expected : null),
  }),
  "write: of many who begin one session, one wins": careless,
  "write: of many who write on one version, one wins": careless,
  "write: no update is lost among writers who try again": careless,
  "write: a version does not come back with another session of the id": (
    good,
  ) => {
    const written = new Map<string, { n: number; version: Version }>();
    return {
      async write(sid, record, expected) {
        const last = expected === null ? undefined : written.get(sid);
        if (expected !== null && last?.n !== expected) return undefined;
        const version = await good.write(sid, record, last?.version ?? null);
        if (version === undefined) return undefined;
        const n = (last?.n ?? 0) + 1;
        written.set(sid, { n, version });
        return n;
      },
    };
  },
  "destroy: says whether there was a session, which is gone": (good) => ({
    async destroy(sid, options) {
      await good.destroy(sid, options);
      return true;
    },
  }),
  "destroy: of many at once, one ends the session": (good) => ({
    async destroy(sid, options) {
      const found = await good.read(sid);
      await later();
      await good.destroy(sid, options);
      return found !== undefined;
    },
  }),
  "destroy: no write that was under way brings the session back": careless,
  "destroy: movedTo is found under the old id": () => ({
    movedTo: () => undefined,
  }),
  "destroy: nothing moves where there was no session": (good) => {
    const moved = new Map<string, string>();
    return {
      destroy(sid, options) {
        if (options?.movedTo) moved.set(sid, options.movedTo);
        return good.destroy(sid, options);
      },
      movedTo: (sid) => moved.get(sid),
    };
  },
  "extend: moves the end and nothing else": (good) => ({
    async extend(sid, expires) {
      const record = await good.read(sid);
      if (record) good.force(sid, { ...record, expires });
      return record !== undefined;
    },
  }),
  "extend: an earlier end is ignored": (good) => ({
    async extend(sid, expires) {
      const record = await good.read(sid);
      if (record) good.force(sid, { ...record, expires });
      return record !== undefined;
    },
  }),
  "extend: absoluteEnd is not passed": (good) => ({
    async extend(sid, expires) {
      const record = await good.read(sid);
      if (record) good.force(sid, { ...record, expires });
      return record !== undefined;
    },
  }),
  "extend: a session outlives the end that it had": (good) => ({
    extend: async (sid) => await good.read(sid) !== undefined,
  }),
  "expiry: a session is alive until its end, and not after": (good) => ({
    extend(sid, expires) {
      good.force(sid, { ...good.force(sid, undefined), expires });
      return true;
    },
  }),
  "expiry: the id is free for another session": (good) => {
    const known = new Set<string>();
    return {
      write(sid, record, expected) {
        if (expected === null && known.has(sid)) return undefined;
        known.add(sid);
        return good.write(sid, record, expected);
      },
    };
  },
  "expiry: a thousand sessions go, one stays": (good) => {
    let n = 0;
    return {
      write: (sid, record, expected) =>
        good.write(
          sid,
          n++ % 2 ? { ...record, expires: Date.now() + record.maxAge } : record,
          expected,
        ),
    };
  },
  "byClient: the session that was last bound to the client": (good) => {
    const first = new Map<string | undefined, string>();
    return {
      write(sid, record, expected) {
        if (!first.has(record.clientId)) first.set(record.clientId, sid);
        return good.write(sid, record, expected);
      },
      byClient: (clientId) => first.get(clientId),
    };
  },
  "byUser: every session of the user": (good) => ({
    byUser: async (user) => (await good.byUser(user)).slice(-1),
  }),
  "byUser: a session that has another user leads back to that one": (good) => {
    const users = new Map<string, string | undefined>();
    return {
      write(sid, record, expected) {
        if (expected === null) users.set(sid, record.user);
        return good.write(sid, record, expected);
      },
      byUser: (user) =>
        [...users].filter((entry) => entry[1] === user).map(([sid]) => sid),
    };
  },

  "acquire: an id without a session is missing at once": (good) => ({
    async acquire(sid, token, holdMs, waitMs) {
      while (!await good.read(sid)) await never;
      return good.acquire(sid, token, holdMs, waitMs);
    },
  }),
  "acquire: grants the session as it is, commit writes it": (good) => ({
    commit: (sid, token) => good.commit(sid, token, undefined),
  }),
  "commit: without a record it releases, and changes nothing": (good) => ({
    commit: async (sid, token, record) =>
      good.commit(sid, token, record ?? await good.read(sid)),
  }),
  "acquire: waits until the holder commits, and sees its write": (good) => ({
    async acquire(sid, token, holdMs, waitMs) {
      const record: Read = await good.read(sid);
      const acquired = await good.acquire(sid, token, holdMs, waitMs);
      return acquired.status === "granted" && record
        ? { status: "granted", record }
        : acquired;
    },
  }),
  "acquire: first come, first served": reversed,
  "acquire: others hold other sessions": (good) => {
    let holder: string | undefined;
    return {
      acquire(sid, token, holdMs, waitMs) {
        holder ??= sid;
        return holder === sid
          ? good.acquire(sid, token, holdMs, waitMs)
          : never;
      },
    };
  },
  "acquire: gives up after waitMs, and leaves nothing behind": unforgetting,
  "acquire: without a wait it says at once that others hold it": (good) => ({
    acquire: (sid, token, holdMs, waitMs) =>
      good.acquire(sid, token, holdMs, waitMs || 60_000),
  }),
  "acquire: a dead holder blocks for no longer than its hold": (good) => ({
    acquire: (sid, token, holdMs, waitMs) =>
      good.acquire(sid, token, holdMs * 100, waitMs),
  }),
  "commit: an overdue hold counts while nobody else was given the session": (
    good,
  ) => {
    const ends = new Map<string, number>();
    return {
      acquire(sid, token, holdMs, waitMs) {
        ends.set(token, Date.now() + holdMs);
        return good.acquire(sid, token, holdMs, waitMs);
      },
      commit: (sid, token, record) =>
        ends.get(token)! < Date.now()
          ? Promise.resolve({ status: "lost" })
          : good.commit(sid, token, record),
    };
  },
  "commit: an overdue hold is lost when another was given the session":
    tokenless,
  "commit: an overdue hold is lost when another wrote": tokenless,
  "commit: a token that holds nothing writes nothing": tokenless,
  "write: is refused while somebody holds the session": careless,
  "extend: works on a session that is held, whose commit stands": (good) => {
    const held = new Set<string>();
    return {
      acquire(sid, token, holdMs, waitMs) {
        held.add(sid);
        return good.acquire(sid, token, holdMs, waitMs);
      },
      extend: (sid, expires) => !held.has(sid) && good.extend(sid, expires),
    };
  },
  "destroy: ends a session that is held, at once and for good": (good) => ({
    async destroy(sid, options) {
      await good.acquire(sid, "destroy", 1_000, 60_000);
      return good.destroy(sid, options);
    },
  }),
  "destroy: those who wait learn that the session is missing": (good) => ({
    async acquire(sid, token, holdMs, waitMs) {
      const acquired = await good.acquire(sid, token, holdMs, waitMs);
      return acquired.status === "missing" ? never : acquired;
    },
  }),
  "commit: a hold on an earlier session of the id writes nothing": tokenless,
  "commit: a session that expired during the hold is missing": tokenless,
  "commit: no update is lost among many holders": lockless,
  "byHash: the live session whose id has the hash": () => ({
    byHash: () => Promise.resolve(undefined),
  }),
  "versions: of many sessions, in order, undefined for the gone": (good) => ({
    versions: async (sids) =>
      (await good.versions(sids)).filter((version) => version),
  }),

  "peer: each sees at once what the other did": (good) => {
    const seen = new Map<string, Read>();
    return {
      peer: {
        async read(sid) {
          if (!seen.has(sid)) seen.set(sid, undefined);
          else seen.set(sid, await good.read(sid));
          return seen.get(sid);
        },
      },
    };
  },
  "peer: a lease of one keeps the other waiting": (good) => ({
    peer: lockless(good),
  }),
  "peer: first come, first served on both": (good) => {
    const store = reversed(good);
    return { ...store, peer: store };
  },
  "peer: who gave up on one does not hold up the other": (good) => ({
    peer: unforgetting(good),
  }),
  "peer: a destroy on one tells those who wait on the other": (good) => ({
    peer: {
      async acquire(sid, token, holdMs, waitMs) {
        const acquired = await good.acquire(sid, token, holdMs, waitMs);
        return acquired.status === "missing" ? never : acquired;
      },
    },
  }),
  "peer: an overdue holder on one is lost to the other": tokenless,
  "peer: no update is lost between the two": (good) => ({
    peer: lockless(good),
  }),
};
