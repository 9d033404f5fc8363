/** The interface of a target: an HTTP listener and a Socket.IO server. */
import type { RequestListener } from "node:http";
import type { Server } from "socket.io";

/** One implementation of sessions. */
export interface Target {
  /** Answers `/read`, `/change`, `/untouched`, `/login`, `/switch` (a login of another user) and `/logout`. */
  readonly listener: RequestListener;
  /** Answers `echo`, `read` and `increment`; `undefined` for targets without sockets. */
  readonly io: Server | undefined;
  /** Called when `io` is attached to the HTTP server. */
  readonly attached?: () => void;
  /** Adds this many unused sessions to the store, for the growth measurement. */
  readonly fill?: (count: number) => void | Promise<void>;
}

/** The session data of every target. */
export interface Data {
  user: string;
  count: number;
}

/** The data of a new session. */
export function fresh(): Data {
  return { user: "ada", count: 1 };
}

/** The event by which `/logout` tells the sockets. */
export const END = "session:end";

/** The user of the next login: another one each time. */
export function nextUser(): string {
  return `user-${users++ % 1_000}`;
}
let users = 0;

/** Reports the result of an event. */
export type Ack = (value: unknown) => void;

/** Signs the cookies of every target. */
export const KEYS = ["a secret of the benchmark", "the one before"];
