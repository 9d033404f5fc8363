/**
 * Limits and pauses that several timers share.
 *
 * @module
 */

/** The longest delay of `setTimeout`, in ms; a longer one fires at once. */
export const MAX_TIMER: number = 2 ** 31 - 1;

/** How soon the store is asked again after a failure, in ms. */
export const RETRY = 1_000;

/** Resolves after `ms` milliseconds, or in a later turn of the event loop. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
