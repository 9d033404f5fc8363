/**
 * The expiry of tracked sessions.
 *
 * @module
 */
import { isAlive } from "../api/store.ts";
import { RETRY } from "../base/timers.ts";
import type { TrackedSession } from "../identity/registry.ts";
import type { StoreListener } from "../stores/open_store.ts";
import type { LifecycleDeps } from "./deps.ts";

/** Ends sessions whose end has passed, unless the store has prolonged them. */
export class SessionExpiry {
  readonly #listener: Pick<StoreListener, "removed">;
  readonly #failed: (error: unknown) => void;
  #deps!: LifecycleDeps;

  constructor(
    listener: Pick<StoreListener, "removed">,
    failed: (error: unknown) => void,
  ) {
    this.#listener = listener;
    this.#failed = failed;
  }

  /** Connects it with its collaborators; called once, before the first expiry. */
  attach(deps: LifecycleDeps): void {
    this.#deps = deps;
  }

  /** A tracked session's end has passed; the store decides whether it lives on. */
  due(session: TrackedSession): void {
    this.#expire(session).catch((error) => {
      const { registry } = this.#deps;
      registry.rescheduleExpiry(session, Date.now() + RETRY);
      this.#failed(error);
    });
  }

  async #expire(session: TrackedSession): Promise<void> {
    const { registry, transactions } = this.#deps;
    const { sid } = session;
    const ctx = this.#contextFor(session);
    if (transactions.needsContext && !ctx) {
      return this.#listener.removed(sid, "expired");
    }
    const record = await transactions.lookup.find(sid, ctx);
    if (isAlive(record)) {
      return registry.rescheduleExpiry(session, record.expires);
    }
    if (registry.tracked(sid) !== session) return;
    await transactions.end(sid, "expired", {
      ...record ? { record } : {},
      ...ctx ? { ctx } : {},
    });
    if (registry.tracked(sid) === session) {
      this.#listener.removed(sid, "expired", record);
    }
  }

  /** The Koa context of a socket's handshake, for a store that needs one. */
  #contextFor({ clientId }: TrackedSession): object | undefined {
    const { registry, transactions } = this.#deps;
    if (!transactions.needsContext) return undefined;
    const [socket] = registry.client(clientId)?.sockets ?? [];
    return (socket as { readonly ctx?: object } | undefined)?.ctx;
  }
}
