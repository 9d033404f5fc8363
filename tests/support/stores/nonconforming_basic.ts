/** For each rule of the basic tier, what is wrong with a store that breaks it. */
import type { SessionData } from "@koa-io/session";
import { type Breakage, later, lossy } from "./nonconformity.ts";

/** By the name of the rule. */
export const NONCONFORMING_BASIC: Readonly<Record<string, Breakage>> = {
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
    destroy(sid, note) {
      if (!good.get(sid)) throw new Error("no such session");
      return good.destroy(sid, note);
    },
  }),
  "touch: brings nothing back": (good) => ({ touch: good.set }),
  "touch: does not change the data": (good) => ({ touch: good.set }),
  'on: "destroy" tells the store and the id': () => ({ on: () => {} }),
};
