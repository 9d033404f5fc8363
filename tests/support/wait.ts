/**
 * Waiting for things to happen, with a limit, on Node's emitters and on
 * socket.io-client's alike.
 */

/** What Node's EventEmitter and socket.io-client's sockets have in common. */
export interface Emitter {
  // deno-lint-ignore no-explicit-any
  on(event: any, listener: (...args: any[]) => void): unknown;
  // deno-lint-ignore no-explicit-any
  off(event: any, listener: (...args: any[]) => void): unknown;
}

/** How long every wait of the tests lasts at most, in ms. */
export const WAIT_LIMIT = 5_000;

/**
 * Waits for an event.
 *
 * @param emitter a Node emitter, a server socket or a client socket
 * @param event its name
 * @param options `timeout` in ms, `where`: only an event with these arguments counts
 * @returns its arguments
 */
export function once<Args extends unknown[] = unknown[]>(
  emitter: Emitter,
  event: string,
  options: {
    readonly timeout?: number;
    readonly where?: (...args: Args) => boolean;
  } = {},
): Promise<Args> {
  const { timeout = WAIT_LIMIT, where = () => true } = options;
  return new Promise((resolve, reject) => {
    const finish = () => {
      clearTimeout(timer);
      emitter.off(event, listener);
    };
    const listener = (...args: unknown[]) => {
      if (!where(...args as Args)) return;
      finish();
      resolve(args as Args);
    };
    const timer = setTimeout(() => {
      finish();
      reject(new Error(`Cannot see "${event}" within ${timeout} ms`));
    }, timeout);
    emitter.on(event, listener);
  });
}

/**
 * Collects an event's arguments from now on.
 *
 * @returns a live array: one entry (the array of arguments) for each event
 */
export function collect<Args extends unknown[] = unknown[]>(
  emitter: Emitter,
  event: string,
): Args[] {
  const seen: Args[] = [];
  emitter.on(event, (...args: unknown[]) => {
    seen.push(args as Args);
  });
  return seen;
}

/** Waits until a condition holds, where there is no event for it; throws after `timeout` ms. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what = "the condition",
  timeout: number = WAIT_LIMIT,
): Promise<void> {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) {
      throw new Error(`Cannot see ${what} within ${timeout} ms`);
    }
    await pause(5);
  }
}

/** Waits for a time: only where time is the subject (an expiry), or within {@linkcode until}. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A promise that is settled from outside: holds a handler open for as long as a test wants. */
export interface Deferred<T = void> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Node 20 lacks `Promise.withResolvers`. */
export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Rejects when a promise does not settle in time, with an error that names it. */
export function settles<T>(
  promise: PromiseLike<T>,
  what = "the promise",
  timeout: number = WAIT_LIMIT,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`Cannot see ${what} settle within ${timeout} ms`)),
      timeout,
    );
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
