/**
 * A store of all tiers at once in plain maps, simple and slow: the conformance kit is tested against it.
 */
import type {
  AcquireResult,
  BasicStore,
  FormerId,
  SessionData,
  SessionRecord,
  SharedStore,
  StoredRecord,
} from "@koa-io/session";
import { createHash } from "node:crypto";

/** The store, and the means to break its rules. */
export type ReferenceStore =
  & Required<Omit<BasicStore, "destroy">>
  & SharedStore
  & {
    /** Another store on the same sessions. */
    peer(): ReferenceStore;
    /** Writes without the checks of `write`. */
    force(sid: string, record: SessionRecord | undefined): StoredRecord;
  };

interface Waiter {
  readonly token: string;
  readonly holdMs: number;
  readonly timer: ReturnType<typeof setTimeout>;
  settle(acquired: AcquireResult): void;
}

interface Lease {
  readonly token: string;
  readonly until: number;
}

interface World {
  readonly records: Map<string, StoredRecord>;
  readonly former: Map<string, FormerId>;
  readonly leases: Map<string, Lease>;
  readonly locks: Map<string, Lease>;
  readonly lines: Map<string, Waiter[]>;
  readonly timers: Set<ReturnType<typeof setTimeout>>;
  version: number;
}

export function referenceStore(world: World = emptyWorld()): ReferenceStore {
  const { records, former, leases, locks, lines, timers } = world;
  const listeners = new Set<(store: unknown, sid: string) => void>();
  const objects = new Map<string, { text: string; until: number }>();

  const find = (sid: string) => {
    const record = records.get(sid);
    return record && record.expires > Date.now() ? record : undefined;
  };
  const force = (sid: string, record: SessionRecord | undefined) => {
    const stored = {
      ...(record ?? records.get(sid)!),
      version: ++world.version,
    };
    // the session that was last bound to a client is the last in order
    if (records.get(sid)?.clientId !== stored.clientId) records.delete(sid);
    records.set(sid, stored);
    return stored;
  };
  const lastOf = (clientId: string) =>
    [...records].filter(([sid, r]) => r.clientId === clientId && find(sid))
      .at(-1)?.[0];
  const isHeld = (sid: string) => (leases.get(sid)?.until ?? 0) > Date.now();

  const later = (ms: number, body: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      body();
    }, ms);
    timers.add(timer);
    return timer;
  };
  const give = (sid: string, token: string, holdMs: number): AcquireResult => {
    leases.set(sid, { token, until: Date.now() + holdMs });
    later(holdMs + 1, () => serve(sid));
    return { status: "granted", record: { ...find(sid)! } };
  };
  const serve = (sid: string) => {
    const line = lines.get(sid) ?? [];
    while (line.length > 0 && !(find(sid) && isHeld(sid))) {
      const { token, holdMs, timer, settle } = line.shift()!;
      clearTimeout(timer);
      timers.delete(timer);
      settle(
        find(sid)
          ? give(sid, token, holdMs)
          : { status: "missing", waited: true },
      );
    }
  };

  return {
    scope: "shared",
    force,
    peer: () => referenceStore(world),

    get(sid) {
      const object = objects.get(sid);
      return object && object.until > Date.now()
        ? JSON.parse(object.text) as SessionData
        : undefined;
    },
    set(sid, session, maxAge) {
      const ms = typeof maxAge === "number" ? maxAge : 86_400_000;
      objects.set(sid, {
        text: JSON.stringify(session),
        until: Date.now() + ms,
      });
    },
    touch(sid, _session, maxAge) {
      const object = objects.get(sid);
      if (object) object.until = Date.now() + (maxAge as number);
    },
    on(_event, listener) {
      listeners.add(listener);
    },
    off(_event, listener) {
      listeners.delete(listener);
    },

    read(sid) {
      const record = find(sid);
      return record && { ...record };
    },
    write(sid, record, expected) {
      const old = find(sid);
      if (expected === null ? old : old?.version !== expected) return undefined;
      if (old && isHeld(sid)) return undefined;
      leases.delete(sid);
      return force(sid, record).version;
    },
    begin(sid, record, options) {
      if (find(sid)) return { status: "taken" };
      const { clientId, arrived } = record;
      const before = clientId === undefined ? undefined : lastOf(clientId);
      if (before !== undefined) {
        const other = find(before)!.arrived;
        if (other !== undefined && arrived !== undefined && other > arrived) {
          return { status: "superseded" };
        }
        if (options?.replaces && !options.replaces.includes(before)) {
          return { status: "occupied", before };
        }
      }
      return { status: "begun", version: force(sid, record).version, before };
    },
    extend(sid, expires, lastUsed) {
      const record = find(sid);
      if (!record) return false;
      const end = Math.min(expires, record.absoluteEnd ?? Infinity);
      records.set(sid, {
        ...record,
        expires: Math.max(record.expires, end),
        lastUsed: lastUsed === undefined
          ? record.lastUsed
          : Math.max(record.lastUsed ?? 0, lastUsed),
      });
      return true;
    },
    destroy(sid, note) {
      if (objects.delete(sid)) {
        for (const listener of listeners) listener(this, sid);
      }
      if (!find(sid)) return false;
      records.delete(sid);
      leases.delete(sid);
      if (note !== undefined) {
        former.set(sid, { to: undefined, at: Date.now(), note });
      }
      serve(sid);
      return true;
    },
    move(from, to, record, condition, note) {
      const old = find(from);
      if (!old) return { status: "missing" };
      const lease = leases.get(from);
      const isCurrent = "expected" in condition
        ? old.version === condition.expected && !isHeld(from)
        : lease?.token === condition.token;
      if (!isCurrent) return { status: "lost" };
      if (find(to)) return { status: "taken" };
      const { clientId } = record;
      const last = clientId === undefined ? undefined : lastOf(clientId);
      records.delete(from);
      leases.delete(from);
      former.set(from, { to, at: Date.now(), note });
      const { version } = force(to, record);
      if (last !== undefined && last !== from && clientId === old.clientId) {
        const newer = records.get(last)!;
        records.delete(last);
        records.set(last, newer);
      }
      if ("token" in condition) {
        leases.set(to, lease!);
        later(lease!.until - Date.now() + 1, () => serve(to));
      }
      serve(from);
      return { status: "done", version };
    },
    former(sid) {
      const found = former.get(sid);
      return found && found.at + 600_000 > Date.now() ? found : undefined;
    },
    byClient: lastOf,
    byUser: (user) =>
      [...records].filter(([sid, r]) => r.user === user && find(sid))
        .map(([sid]) => sid),
    async *scan() {
      for (const sid of records.keys()) {
        const record = find(sid);
        if (record) yield [{ sid, record }];
      }
    },

    acquire(sid, token, holdMs, waitMs) {
      if (!find(sid)) {
        return Promise.resolve({ status: "missing", waited: false });
      }
      if (!isHeld(sid) && !lines.get(sid)?.length) {
        return Promise.resolve(give(sid, token, holdMs));
      }
      return new Promise((settle) => {
        const line = lines.get(sid) ?? [];
        lines.set(sid, line);
        const timer = later(waitMs, () => {
          line.splice(line.findIndex((waiter) => waiter.token === token), 1);
          settle({ status: "timeout" });
        });
        line.push({ token, holdMs, timer, settle });
      });
    },
    commit(sid, token, record) {
      const isMine = leases.get(sid)?.token === token;
      if (isMine) leases.delete(sid);
      if (!find(sid)) return Promise.resolve({ status: "missing" });
      if (!isMine) return Promise.resolve({ status: "lost" });
      if (record) force(sid, record);
      const { version } = find(sid)!;
      serve(sid);
      return Promise.resolve({ status: "done", version });
    },
    tryLock(name, token, holdMs) {
      const isFree = (locks.get(name)?.until ?? 0) <= Date.now();
      if (isFree) locks.set(name, { token, until: Date.now() + holdMs });
      return Promise.resolve(isFree);
    },
    unlock(name, token) {
      if (locks.get(name)?.token === token) locks.delete(name);
      return Promise.resolve();
    },
    byHash: (hash) =>
      Promise.resolve(
        [...records.keys()].find((sid) => find(sid) && hashOf(sid) === hash),
      ),
    versions: (sids) => Promise.resolve(sids.map((sid) => find(sid)?.version)),
    close() {
      for (const timer of timers) clearTimeout(timer);
      timers.clear();
    },
  };
}

function emptyWorld(): World {
  return {
    records: new Map(),
    former: new Map(),
    leases: new Map(),
    locks: new Map(),
    lines: new Map(),
    timers: new Set(),
    version: 0,
  };
}

/** The hash by which the bridge names ids to other processes. */
function hashOf(id: string): string {
  return createHash("sha256").update(id).digest("base64url").slice(0, 22);
}
