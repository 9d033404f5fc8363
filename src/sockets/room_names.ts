/**
 * Names of the bridge's rooms. They are keyed by `app.keys`: nodes with the
 * same first key agree on them, and none can be guessed from an id.
 *
 * @module
 */
import { createHmac, createSecretKey, type KeyObject } from "node:crypto";
import type { KoaApplication } from "../api/koa.ts";
import { flat, hashId } from "../base/ids.ts";

/** The prefix of every name. */
const PREFIX = "koa-io:";

/** What the key of the names is derived from `app.keys` for. */
const PURPOSE = "koa-io:rooms";

/** Names the rooms of sessions, clients and users. */
export class RoomNames {
  readonly #app: Pick<KoaApplication, "keys">;
  #key: KeyObject | undefined;

  constructor(app: Pick<KoaApplication, "keys">) {
    this.#app = app;
  }

  /** The room of a session's sockets, by the hash of its id. */
  session(hash: string): string {
    return this.#name("session", hash);
  }

  /** The room of a client's sockets, while it has a session. */
  client(clientId: string): string {
    return this.#name("client", hashId(clientId));
  }

  /** The room of the sockets of a user's sessions. */
  user(user: string): string {
    return this.#name("user", hashId(user));
  }

  #name(kind: string, hash: string): string {
    // derived once: a socket leaves a room by the name that it joined it by
    const key = this.#key ??= derive(this.#app.keys);
    const code = createHmac("sha256", key).update(`${kind}:${hash}`)
      .digest("base64url").slice(0, 22);
    return flat(`${PREFIX}${kind}:${code}`);
  }
}

/** Whether a room has a name of the bridge's. */
export function isBridgeRoom(room: unknown): boolean {
  return typeof room === "string" && room.startsWith(PREFIX);
}

/** A key of its own for the names: from the first of several keys, or by the Keygrip that the application set. */
function derive(keys: unknown): KeyObject {
  const secret = Array.isArray(keys)
    ? keys[0]
    : (keys as { sign(text: string): string }).sign(PURPOSE);
  return createSecretKey(
    createHmac("sha256", secret).update(PURPOSE).digest(),
  );
}
