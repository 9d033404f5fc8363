/** For each rule of the atomic tier, what is wrong with a store that breaks it. */
import type { SessionRecord, StoredRecord, Version } from "@koa-io/session";
import { type Breakage, careless, later, lossy } from "./nonconformity.ts";

/** By the name of the rule. */
export const NONCONFORMING_ATOMIC: Readonly<Record<string, Breakage>> = {
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
    async destroy(sid, note) {
      await good.destroy(sid, note);
      return true;
    },
  }),
  "destroy: of many at once, one ends the session": (good) => ({
    async destroy(sid, note) {
      const found = await good.read(sid);
      await later();
      await good.destroy(sid, note);
      return found !== undefined;
    },
  }),
  "destroy: no write that was under way brings the session back": careless,
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
  "extend: sets lastUsed, and ignores an earlier one": (good) => ({
    async extend(sid, expires, lastUsed) {
      const record = await good.read(sid);
      if (record) good.force(sid, { ...record, lastUsed });
      return await good.extend(sid, expires, undefined);
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
  "scan: each live session is in a batch, with its record": (good) => ({
    async *scan(limit) {
      let first = true;
      for await (const batch of good.scan!(limit)) {
        if (!first) yield batch;
        first = false;
      }
    },
  }),
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
};
