/**
 * Giving a session another id, see the scripts for how, and the notes on
 * former ids.
 *
 * @module
 */
import { isRecent } from "../../base/store_conditions.ts";
import {
  EXPIRED_GRACE,
  type FormerId,
  type MoveCondition,
  MOVED_FOR,
  type MoveResult,
  type SessionRecord,
} from "../../api/store.ts";
import type { Grants } from "./grants.ts";
import { expiryOf, type Index, indexedUntil } from "./index.ts";
import type { Keyspace } from "./keys.ts";
import {
  ACTIVATE,
  CANCEL,
  DETACH,
  MOVE,
  MOVE_POINTER,
  PREPARE,
} from "./move_scripts.ts";
import {
  type Binding,
  boundTo,
  decodeBinding,
  encode,
  noteOf,
} from "./record.ts";

/** A move, with the version that the session is to have. */
export interface Move {
  readonly from: string;
  readonly to: string;
  readonly record: SessionRecord;
  readonly condition: MoveCondition;
  readonly note: string;
  readonly version: string;
}

/** The result of a move, and the former binding where it is known. */
type Moved = readonly [result: MoveResult, old?: Binding];

/** Moves and former ids. */
export class Moves {
  readonly #keyspace: Keyspace;
  readonly #index: Index;
  readonly #grants: Grants;

  constructor(keyspace: Keyspace, index: Index, grants: Grants) {
    this.#keyspace = keyspace;
    this.#index = index;
    this.#grants = grants;
  }

  async move(move: Move): Promise<MoveResult> {
    const { from, to, record } = move;
    // in the same batch: a superfluous entry is harmless, a missing one is not
    const index = this.#index.addHashAndUser(to, record);
    const moving = this.#keyspace.connection.cluster
      ? this.#inCluster(move)
      : this.#atOnce(move);
    const [[result, old]] = await Promise.all([moving, ...index]);
    if (result.status === "done") {
      if ("token" in move.condition) {
        const holder = encodeURIComponent(move.condition.token);
        this.#grants.moved(holder, result.version, record.user);
      }
      await this.#index.removeAll(from, old ?? record);
    } else if (result.status !== "taken") {
      const { user } = record;
      await this.#index.removeAll(to, { clientId: undefined, user });
    }
    return result;
  }

  /** What is kept of an id that was moved, or ended with a note. */
  async former(sid: string): Promise<FormerId | undefined> {
    const now = Date.now();
    const former = (await this.#note(sid))?.former;
    return former && isRecent(former, now) ? former : undefined;
  }

  /**
   * Activates a session that is pending, if it was detached from its former id.
   *
   * @returns whether it is the session of this id
   */
  async activate(
    sid: string,
    from: string,
    version: string,
  ): Promise<boolean> {
    const note = await this.#note(from);
    if (note?.former.to !== sid || note.version !== version) return false;
    return await this.#activate(sid, version, note.token, note.until);
  }

  async #note(sid: string): Promise<
    | { version: string; token: string; until: string; former: FormerId }
    | undefined
  > {
    const text = await this.#keyspace.target(this.#keyspace.key("f", sid));
    if (text === undefined) return undefined;
    const end = text.indexOf("\n");
    // the name of a call that ended the session without a note
    if (end < 0) return undefined;
    const [version = "", token = "", until = ""] = text.slice(0, end).split(
      " ",
    );
    const [to, at, note] = JSON.parse(text.slice(end + 1)) as [
      string | null,
      number,
      string,
    ];
    return { version, token, until, former: { to: to ?? undefined, at, note } };
  }

  async #atOnce(move: Move): Promise<Moved> {
    const { from, to, record } = move;
    const { clientId } = record;
    const keys = [...this.#keysOf(from), this.#keyspace.key("s", to)];
    if (clientId !== undefined) keys.push(this.#keyspace.named("c", clientId));
    const [status, old] = await this.#keyspace.run(MOVE, keys, [
      ...this.#leaveArgs(move),
      ...encode(record),
      indexedUntil(record),
      to,
      from,
      expiryOf(record),
      clientId === undefined ? "" : boundTo(clientId),
    ]);
    return movedOf(status, move.version, old);
  }

  async #inCluster(move: Move): Promise<Moved> {
    const { from, to, record, version } = move;
    const key = this.#keyspace.key("s", to);
    if (from === to) return movedOf("t", version);
    const [end, absoluteEnd, lastUsed, binding, data] = encode(record);
    const [prepared] = await this.#keyspace.run(PREPARE, [key], [
      version,
      end!,
      absoluteEnd!,
      lastUsed!,
      binding!,
      data!,
      indexedUntil(record),
      from,
      String(MOVED_FOR),
    ]);
    if (String(prepared) === "t") return movedOf("t", version);
    const [status, old, until] = await this.#keyspace.run(
      DETACH,
      this.#keysOf(from),
      this.#leaveArgs(move),
    );
    if (String(status) !== "d") {
      // if this fails, it expires
      await this.#keyspace.run(CANCEL, [key], [version]).catch(() => {});
      return movedOf(status, version);
    }
    const [kind, fence] = this.#fenceOf(move);
    const token = kind === "l" ? fence : "";
    await this.#activate(to, version, token, String(until ?? ""));
    const moved = movedOf("d", version, old);
    await this.#movePointer(move, moved[1]);
    return moved;
  }

  async #movePointer(
    { from, to, record }: Move,
    old: Binding | undefined,
  ): Promise<void> {
    const { clientId } = record;
    if (clientId === undefined) return;
    await this.#keyspace.run(MOVE_POINTER, [
      this.#keyspace.named("c", clientId),
    ], [
      to,
      from,
      expiryOf(record),
      old && old.clientId !== clientId ? "0" : "1",
    ]);
  }

  async #activate(
    sid: string,
    version: string,
    token: string,
    until: string,
  ): Promise<boolean> {
    const key = this.#keyspace.key("s", sid);
    const args = [version, token, until, String(EXPIRED_GRACE)];
    const activated: unknown = await this.#keyspace.run(ACTIVATE, [key], args);
    return Number(activated) === 1;
  }

  #keysOf(sid: string): readonly string[] {
    return [...this.#keyspace.leaseKeys(sid), this.#keyspace.key("f", sid)];
  }

  /** The arguments `channel cluster sid kind fence version note ttl granted`. */
  #leaveArgs(move: Move): readonly string[] {
    const [kind, fence, granted] = this.#fenceOf(move);
    return [
      ...this.#keyspace.publishArgs(move.from),
      kind,
      fence,
      move.version,
      noteOf(move.to, move.note),
      String(MOVED_FOR),
      granted,
    ];
  }

  #fenceOf(
    { condition }: Move,
  ): readonly [kind: string, fence: string, granted: string] {
    if ("expected" in condition) return ["v", String(condition.expected), ""];
    const grant = this.#grants.find(encodeURIComponent(condition.token));
    return ["l", grant.name, grant.version];
  }
}

function movedOf(status: unknown, version: string, old?: unknown): Moved {
  switch (String(status)) {
    case "d":
      return old == null || String(old) === ""
        ? [{ status: "done", version }]
        : [{ status: "done", version }, decodeBinding(old)];
    case "t":
      return [{ status: "taken" }];
    case "l":
      return [{ status: "lost" }];
  }
  return [{ status: "missing" }];
}
