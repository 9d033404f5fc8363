/** For each rule of the shared tier, the faults of a store that breaks it. */
import type { AcquireResult, StoredRecord } from "@koa-io/session";
import { pause } from "../wait.ts";
import {
  type Breakage,
  careless,
  type Faults,
  later,
} from "./nonconformity.ts";
import type { ReferenceStore } from "./reference_store.ts";

type Read = StoredRecord | undefined;

/** Commits with any token. */
const tokenless = (good: ReferenceStore): Faults => ({
  async commit(sid, token, record) {
    const committed = await good.commit(sid, token, record);
    if (committed.status === "done") return committed;
    if (!record) return committed;
    return { status: "done", version: good.force(sid, record).version };
  },
});

/** Grants a session to all waiters at once. */
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

/** Leaves waiters that gave up in the queue. */
const unforgetting = (good: ReferenceStore): Faults => ({
  acquire: (sid, token, holdMs, waitMs) =>
    Promise.race([
      good.acquire(sid, token, holdMs, 60_000),
      pause(waitMs > 5_000 ? 1 : waitMs).then((): AcquireResult => ({
        status: "timeout",
      })),
    ]),
});

/** Grants in reverse order. */
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

const never = new Promise<never>(() => {});

/** By the name of the rule. */
export const NONCONFORMING_SHARED: Readonly<Record<string, Breakage>> = {
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
    async destroy(sid, note) {
      await good.acquire(sid, "destroy", 1_000, 60_000);
      return good.destroy(sid, note);
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
