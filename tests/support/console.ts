/** What code prints. */

/** Runs an action and returns what it printed with `console.warn`, one string a call. */
export async function warningsOf(
  action: () => unknown | Promise<unknown>,
): Promise<string[]> {
  const warnings: string[] = [];
  const warn = console.warn;
  console.warn = (...args: unknown[]) => {
    warnings.push(args.map(String).join(" "));
  };
  try {
    await action();
  } finally {
    console.warn = warn;
  }
  return warnings;
}
