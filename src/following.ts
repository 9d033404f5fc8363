/**
 * What is kept of a socket: the client that it follows, and where it stands.
 *
 * @module
 */
import type { Client, Known } from "./clients.ts";
import type { Socket } from "socket.io";

/** See the module's text. */
export interface Following {
  readonly clientId: string | undefined;
  /** Where it stands until it is connected. */
  known: Known | undefined;
  /** What it follows while it is connected. */
  client: Client<Socket> | undefined;
}

/** Where a socket keeps it. */
export const FOLLOWING: unique symbol = Symbol("koa-io-session");

/** A socket with what is kept of it. */
export type Followed = Socket & { [FOLLOWING]?: Following };
