/**
 * The events of the bridge about sessions.
 *
 * @module
 */
import type { BridgeEvents, EndReason, StartCause } from "../api/events.ts";
import type { TrackedSession } from "../identity/registry.ts";
import type { UserChange } from "../transaction/session_observer.ts";
import type { Emit } from "./emit.ts";

/** A session as events name it. */
type Named = Pick<TrackedSession, "sid" | "clientId">;

/** What a change of user did to the ids of a session. */
export interface ChangedIds {
  readonly ids: "new" | "kept";
  /** The id before the change. */
  readonly previousSessionId?: string;
}

/** Emits the events of sessions, and counts ends. */
export class SessionEvents {
  /** Sessions that ended, by reason. */
  readonly endCounts: Record<EndReason, number> = {
    logout: 0,
    revoked: 0,
    expired: 0,
    replaced: 0,
    displaced: 0,
    rotated: 0,
    evicted: 0,
  };
  readonly #emit: Emit;

  constructor(emit: Emit) {
    this.#emit = emit;
  }

  start({ clientId, sid }: Named, cause: StartCause, local: boolean): void {
    this.#emit("sessionStart", { clientId, sessionId: sid, cause, local });
  }

  change({ clientId, sid }: Named, local: boolean): void {
    this.#emit("sessionChange", { clientId, sessionId: sid, local });
  }

  end({ clientId, sid }: Named, reason: EndReason, local: boolean): void {
    this.endCounts[reason]++;
    this.#emit("sessionEnd", { clientId, sessionId: sid, reason, local });
  }

  userChange(
    { clientId, sid }: Named,
    { from, to }: UserChange,
    ids: ChangedIds,
    local: boolean,
  ): void {
    this.#emit("userChange", {
      sessionId: sid,
      clientId,
      from,
      to,
      ...ids,
      local,
    });
  }

  conflict(event: BridgeEvents["sessionConflict"][0]): void {
    this.#emit("sessionConflict", event);
  }
}
