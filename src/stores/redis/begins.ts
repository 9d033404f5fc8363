/**
 * Beginning a session for a client: one script, or, in a Redis Cluster, where
 * the client's pointer is on another node, the session first and then the
 * pointer, if it has not changed since the conditions were checked.
 *
 * @module
 */
import { refusalOf } from "../../base/store_conditions.ts";
import {
  type BeginOptions,
  type BeginResult,
  isAlive,
  type SessionRecord,
  type StoredRecord,
} from "../../api/store.ts";
import { BEGIN, SWAP_POINTER } from "./begin_scripts.ts";
import { expiryOf, type Index, indexedUntil } from "./index.ts";
import type { Keyspace } from "./keys.ts";
import type { Moves } from "./moves.ts";
import { boundTo, encode } from "./record.ts";
import type { Writes } from "./writes.ts";

/** What a begin needs of the store. */
interface Deps {
  readonly keyspace: Keyspace;
  readonly index: Index;
  readonly moves: Moves;
  readonly writes: Writes;
  read(sid: string): Promise<StoredRecord | undefined>;
  destroy(sid: string): Promise<unknown>;
}

/** Begins sessions. */
export class Begins {
  readonly #deps: Deps;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  async begin(
    sid: string,
    record: SessionRecord,
    options: BeginOptions,
    version: string,
  ): Promise<BeginResult> {
    const { keyspace, index } = this.#deps;
    const { clientId } = record;
    const begun = clientId === undefined
      ? this.#write(sid, record, version)
      : keyspace.connection.cluster
      ? this.#inCluster(sid, record, clientId, options, version)
      : this.#atOnce(sid, record, clientId, options, version);
    const result = await this.#withIndex(
      sid,
      begun,
      index.addHashAndUser(sid, record),
    );
    if (result.status === "superseded" || result.status === "occupied") {
      await index.removeAll(sid, { clientId: undefined, user: record.user });
    }
    return result;
  }

  /** Ends the session again if it cannot be indexed, as when Redis is out of memory: its begin has failed. */
  async #withIndex(
    sid: string,
    begun: Promise<BeginResult>,
    index: Promise<unknown>[],
  ): Promise<BeginResult> {
    const indexed = Promise.all(index);
    indexed.catch(() => {});
    const result = await begun;
    try {
      await indexed;
    } catch (error) {
      if (result.status === "begun") await this.#deps.destroy(sid);
      throw error;
    }
    return result;
  }

  async #write(
    sid: string,
    record: SessionRecord,
    version: string,
  ): Promise<BeginResult> {
    const { writes } = this.#deps;
    const [written] = await writes.put(sid, record, null, version);
    return Number(written) === 0
      ? { status: "taken" }
      : { status: "begun", version, before: undefined };
  }

  async #atOnce(
    sid: string,
    record: SessionRecord,
    clientId: string,
    { replaces }: BeginOptions,
    version: string,
  ): Promise<BeginResult> {
    const { keyspace } = this.#deps;
    const [status, text] = await keyspace.run(BEGIN, [
      keyspace.key("s", sid),
      keyspace.named("c", clientId),
    ], [
      sid,
      version,
      ...encode(record),
      indexedUntil(record),
      expiryOf(record),
      boundTo(clientId),
      keyspace.records("s"),
      record.arrived === undefined ? "" : String(record.arrived),
      replaces === undefined ? "0" : "1",
      ...replaces ?? [],
    ]);
    const before = String(text ?? "");
    switch (String(status)) {
      case "t":
        return { status: "taken" };
      case "s":
        return { status: "superseded" };
      case "o":
        return { status: "occupied", before };
    }
    return { status: "begun", version, before: before || undefined };
  }

  async #inCluster(
    sid: string,
    record: SessionRecord,
    clientId: string,
    options: BeginOptions,
    version: string,
  ): Promise<BeginResult> {
    const { keyspace } = this.#deps;
    const pointer = keyspace.named("c", clientId);
    for (let isWritten = false;;) {
      const target = await keyspace.target(pointer) ?? "";
      const live = target === "" || target === sid
        ? undefined
        : await this.#liveOf(target, clientId);
      const refusal = live &&
        refusalOf(record, options, live.sid, live.record.arrived);
      if (refusal) {
        if (isWritten) await this.#deps.destroy(sid);
        return refusal;
      }
      if (!isWritten) {
        const written = await this.#write(sid, record, version);
        if (written.status !== "begun") return written;
        isWritten = true;
      }
      const args = [target, sid, expiryOf(record)];
      const swapped: unknown = await keyspace.run(
        SWAP_POINTER,
        [pointer],
        args,
      );
      if (Number(swapped) === 1) {
        return { status: "begun", version, before: live?.sid };
      }
    }
  }

  /** The live session of a client, under its new id where its pointer has not followed a move yet. */
  async #liveOf(
    sid: string,
    clientId: string,
  ): Promise<{ sid: string; record: StoredRecord } | undefined> {
    for (let hops = 0; hops < 10; hops++) {
      const record = await this.#deps.read(sid);
      if (isAlive(record)) {
        return record.clientId === clientId ? { sid, record } : undefined;
      }
      const to = (await this.#deps.moves.former(sid))?.to;
      if (to === undefined) return undefined;
      sid = to;
    }
  }
}
