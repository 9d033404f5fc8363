/** What code prints. */

/** Runs an action and returns what it printed with `console.warn`, one string a call. */
export async function warningsOf(
  action: () => unknown | Promise<unknown>,
): Promise<string[]> {
  return (await printed("warn", action)).map((args) =>
    args.map(String).join(" ")
  );
}

/** Runs an action and returns what it gave to `console.error`, one array a call. */
export function errorsPrintedBy(
  action: () => unknown | Promise<unknown>,
): Promise<unknown[][]> {
  return printed("error", action);
}

async function printed(
  method: "warn" | "error",
  action: () => unknown | Promise<unknown>,
): Promise<unknown[][]> {
  const calls: unknown[][] = [];
  const original = console[method];
  console[method] = (...args: unknown[]) => void calls.push(args);
  try {
    await action();
  } finally {
    console[method] = original;
  }
  return calls;
}
