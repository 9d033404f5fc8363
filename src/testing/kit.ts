/**
 * The types of the conformance kit, and what its rules share: sessions, waits
 * and test data.
 *
 * @module
 */
import { generateUid } from "../base/ids.ts";
import type {
  AtomicStore,
  BasicStore,
  SessionRecord,
  SharedStore,
  StoredRecord,
  Version,
} from "../api/store.ts";

/** A store of any tier; one with the members of several tiers is tested against all of them. */
export type TestableStore = BasicStore | AtomicStore | SharedStore;

/** Which part of the contract a rule is about. */
export type StoreTier = "basic" | "atomic" | "shared";

/** The context in which a rule runs. */
export interface RuleContext {
  /**
   * Opens the same sessions a second time, as another process would; needed by
   * rules on two stores.
   */
  readonly peer?: (() => SharedStore | Promise<SharedStore>) | undefined;
  /**
   * The shortest life of sessions in the rules of the basic tier, in ms.
   *
   * @default {1000} as many stores count in seconds
   */
  readonly ttl?: number | undefined;
}

/** One rule of the contract. */
export interface StoreRule {
  /** The tier of the contract that it belongs to. */
  readonly tier: StoreTier;
  /** The member under test, and the requirement. */
  readonly name: string;
  /** Whether it needs two stores, that is, {@linkcode RuleContext.peer}. */
  readonly needsPeer: boolean;
  /**
   * Tests a store against the rule; the store may contain other sessions.
   *
   * @returns a promise that rejects with an `AssertionError` when the store breaks the rule
   */
  run(store: TestableStore, context?: RuleContext): Promise<void>;
}

/** Makes a rule on one store. */
export function rule<S extends TestableStore>(
  tier: StoreTier,
  name: string,
  body: (store: S, context: RuleContext) => Promise<void>,
): StoreRule {
  return {
    tier,
    name,
    needsPeer: false,
    run: (store, context = {}) => body(store as S, context),
  };
}

/** Makes a rule on two stores with the same sessions. */
export function peerRule(
  name: string,
  body: (one: SharedStore, two: SharedStore) => Promise<void>,
): StoreRule {
  return {
    tier: "shared",
    name,
    needsPeer: true,
    async run(store, { peer } = {}) {
      if (!peer) {
        throw new TypeError(
          `Cannot run the rule "${name}" as peer must be a function: received undefined`,
        );
      }
      const two = await peer();
      try {
        await body(store as SharedStore, two);
      } finally {
        await two.close();
      }
    },
  };
}

/** A new id. */
export function id(prefix = ""): string {
  return prefix + generateUid(24);
}

/** A record that lives for a minute, with changes. */
export function record(changes: Partial<SessionRecord> = {}): SessionRecord {
  return {
    data: "{}",
    maxAge: 60_000,
    expires: Date.now() + 60_000,
    absoluteEnd: undefined,
    cookie: undefined,
    clientId: undefined,
    settled: false,
    user: undefined,
    created: undefined,
    authenticatedAt: undefined,
    lastUsed: undefined,
    arrived: undefined,
    meta: undefined,
    handle: undefined,
    ...changes,
  };
}

/** Calls with a clock that is `ms` ahead until the call has settled. */
export async function ahead<T>(
  ms: number,
  call: () => T | Promise<T>,
): Promise<T> {
  const { now } = Date;
  Date.now = () => now.call(Date) + ms;
  try {
    return await call();
  } finally {
    Date.now = now;
  }
}

/** A record that ends after `ms`. */
export function ending(
  ms: number,
  changes: Partial<SessionRecord> = {},
): SessionRecord {
  return record({ maxAge: ms, expires: Date.now() + ms, ...changes });
}

/** The record without its version, for comparison with the one written. */
export function written(stored: StoredRecord | undefined): unknown {
  if (!stored) return undefined;
  const fields = Object.keys(record()) as (keyof SessionRecord)[];
  return Object.fromEntries(fields.map((name) => [name, stored[name]]));
}

/** Begins a session; returns its id and version. */
export async function begin(
  store: AtomicStore,
  of: SessionRecord = record(),
): Promise<{ sid: string; version: Version }> {
  const sid = id();
  const version = await store.write(sid, of, null);
  if (version === undefined) {
    throw new Error(
      "Cannot begin a session as write(…, null) refused a new id",
    );
  }
  return { sid, version };
}

/** The count in a record's data. */
export function count(stored: StoredRecord): number {
  return (JSON.parse(stored.data) as { n?: number }).n ?? 0;
}

/** The record with its count incremented. */
export function counted(stored: StoredRecord): SessionRecord {
  const { version: _, ...rest } = stored;
  return { ...rest, data: JSON.stringify({ n: count(stored) + 1 }) };
}

/** Whether a record exists and has not expired. */
export function isAlive(stored: StoredRecord | undefined): boolean {
  return stored !== undefined && stored.expires > Date.now();
}

/** A call that is awaited later; until then its rejection counts as handled. */
export function background<T>(call: Promise<T>): Promise<T> {
  call.catch(() => {});
  return call;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until `condition` holds, or `timeout` ms have passed; returns whether it holds. */
export async function eventually(
  condition: () => unknown,
  timeout: number,
): Promise<boolean> {
  const end = Date.now() + timeout;
  while (!await condition()) {
    if (Date.now() > end) return false;
    await pause(20);
  }
  return true;
}

/** Rejects when a call takes longer than `ms`. */
export async function within<T>(ms: number, call: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`Cannot see an answer within ${ms} ms`)),
      ms,
    );
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Data that is difficult to store, by name. */
export const ODD_DATA: Readonly<Record<string, Record<string, unknown>>> = {
  "an empty object": {},
  "null and empty values": {
    none: null,
    text: "",
    list: [],
    nested: {},
    no: false,
    zero: 0,
  },
  "text in many scripts": {
    text: "Žluťoučký 北京 🎉👩‍👩‍👧 \u202eعربي\u202c \u2028\u2029",
  },
  "control characters": { text: "\0\x01\x1f\x7f\n\r\t\\\"'`%_;--" },
  "half a surrogate pair": { text: "\ud800", ["\udc00"]: 1 },
  "names that objects have": JSON.parse(
    '{"__proto__":{"polluted":true},"constructor":1,"hasOwnProperty":2,"toString":3}',
  ),
  "names of a store's own": {
    cookie: "mine",
    session: 1,
    data: 2,
    version: 3,
    expires: 4,
    id: 5,
  },
  "odd names": {
    "": 1,
    " ": 2,
    "a.b": 3,
    "$set": 4,
    "ключ": 5,
    "🎉": 6,
    "0": 7,
  },
  "numbers at the edge": {
    max: Number.MAX_SAFE_INTEGER,
    min: Number.MIN_SAFE_INTEGER,
    tiny: 5e-324,
    huge: 1.7976931348623157e308,
    third: 1 / 3,
  },
  "text that looks like something else": {
    date: "2024-02-30T00:00:00.000Z",
    base64: ":base64:AAAA",
    json: '{"a":1}',
    number: "007",
  },
  "deep nesting": JSON.parse('{"a":'.repeat(100) + "1" + "}".repeat(100)),
  "a long list": { list: Array.from({ length: 10_000 }, (_, i) => i) },
};

/** A megabyte of text that does not compress well. */
export function megabyte(): string {
  let text = "";
  for (let i = 0; text.length < 1_000_000; i++) text += `${i} é 🎉 `;
  return text;
}
