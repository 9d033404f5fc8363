/**
 * Tells the other nodes, and the listeners of the bridge, that a session has
 * begun, has another id, or another user.
 *
 * @module
 */
import type { TrackedSession } from "../identity/registry.ts";
import type { UserChange } from "../transaction/session_observer.ts";
import { type Announcement, endOf } from "./announcements.ts";
import type { ChangedIds, SessionEvents } from "./bridge_events.ts";
import type { ClusterMessenger } from "./cluster_messenger.ts";

/** Publishes messages and emits events, in one order for all sessions. */
export class Announcer {
  readonly #cluster: Pick<ClusterMessenger, "publish">;
  readonly #events: SessionEvents;
  readonly #userChanged: (clientId: string) => void;

  /** @param userChanged is told of each change of a client's user */
  constructor(
    cluster: Pick<ClusterMessenger, "publish">,
    events: SessionEvents,
    userChanged: (clientId: string) => void,
  ) {
    this.#cluster = cluster;
    this.#events = events;
    this.#userChanged = userChanged;
  }

  /** @param local whether it happened on this node, which then tells the others */
  announce(announcement: Announcement, local: boolean): void {
    const { previous, session, sockets, userChange } = announcement;
    const { hash } = session;
    if (!previous) {
      if (local) this.#cluster.publish({ type: "start", hash });
      this.#events.start(session, "created", local);
    } else {
      if (local) {
        const message = { hash: previous.hash, to: hash, sockets };
        this.#cluster.publish({ type: "rotate", ...message });
      }
      this.#events.end(previous, endOf(userChange), local);
      if (!announcement.isReported) {
        this.#events.start(session, "rotated", local);
      }
    }
    if (!userChange) return;
    const before = previous && { previousSessionId: previous.sid };
    this.reportUser(session, userChange, { ids: "new", ...before }, local);
  }

  /** A session has another user. */
  reportUser(
    session: Pick<TrackedSession, "sid" | "clientId">,
    change: UserChange,
    ids: ChangedIds,
    local: boolean,
  ): void {
    this.#userChanged(session.clientId);
    this.#events.userChange(session, change, ids, local);
  }
}
