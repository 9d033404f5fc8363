/** SessionStores of a test, and the events that they emit. */
import { SessionStore, type SessionStoreOptions } from "@koa-io/session";

const opened: SessionStore[] = [];

/** A store without automatic cleanup, unless the options set it. */
export function open(options: SessionStoreOptions = {}): SessionStore {
  return closing(new SessionStore({ autoCleanup: false, ...options }));
}

/** Closes a store with the others. */
export function closing(store: SessionStore): SessionStore {
  opened.push(store);
  return store;
}

/** Closes all that were opened: for `afterEach`. */
export function closeStores(): void {
  for (const store of opened.splice(0)) store.close();
}

/** The events of a store, as text. */
export function logOf(store: SessionStore): string[] {
  const log: string[] = [];
  store.on("set", (_store, sid, isNew) => log.push(`set ${sid} ${isNew}`));
  store.on("destroy", (_store, sid) => log.push(`destroy ${sid}`));
  store.on("cleanup", (_store, cleared) => log.push(`cleanup ${cleared}`));
  store.on("removed", (sid, reason) => log.push(`removed ${sid} ${reason}`));
  return log;
}
