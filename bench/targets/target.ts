/** What every target is: an HTTP listener, and a Socket.IO server beside it. */
import type { RequestListener } from "node:http";
import type { Server } from "socket.io";

/** One way to have sessions. */
export interface Target {
  /** Answers `/read`, `/change`, `/untouched` and `/login`. */
  readonly listener: RequestListener;
  /** Answers `echo`, `read` and `increment`; `undefined` where sockets have no part. */
  readonly io: Server | undefined;
  /** Called when `io` is attached to the HTTP server. */
  readonly attached?: () => void;
  /** Puts this many sessions of nobody into the store, where growth is measured. */
  readonly fill?: (count: number) => void | Promise<void>;
}

/** The session that every target keeps. */
export interface Data {
  user: string;
  count: number;
}

/** What a new session begins with. */
export function fresh(): Data {
  return { user: "ada", count: 1 };
}

/** Reports the result of an event. */
export type Ack = (value: unknown) => void;

/** Signs the cookies of every target. */
export const KEYS = ["a secret of the benchmark", "the one before"];
