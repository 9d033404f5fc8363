/** Intervals that code starts and does not clear. */

/**
 * Runs an action and clears the intervals that it started: Socket.IO's adapter for connection state recovery never clears its own.
 */
export async function clearingIntervals(
  action: () => Promise<void>,
): Promise<void> {
  const { setInterval } = globalThis;
  const begun: ReturnType<typeof setInterval>[] = [];
  const patched = (...args: Parameters<typeof setInterval>) => {
    const interval = setInterval(...args);
    begun.push(interval);
    return interval;
  };
  globalThis.setInterval = patched as typeof setInterval;
  try {
    await action();
  } finally {
    globalThis.setInterval = setInterval;
    for (const interval of begun) clearInterval(interval);
  }
}
