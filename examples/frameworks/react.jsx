import { useSyncExternalStore } from "react";

/** Shows the session that a client of `@koa-io/session/client` follows. */
export function Session({ client }) {
  const { state, view, reason, reconnecting } = useSyncExternalStore(
    client.subscribe,
    client.getSnapshot,
  );
  if (reconnecting) return <p>Reconnecting…</p>;
  if (state === "active" && view) return <p>Hello {view.user}</p>;
  if (state === "guest") return <p>Please log in {reason && `(${reason})`}</p>;
  return <p>…</p>;
}
