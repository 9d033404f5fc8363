/** The errors of promises: those that are handled, and those that are not. */
import process from "node:process";

/** The `code` of a promise's error, `undefined` when it is fulfilled. */
export async function codeOf(
  promise: PromiseLike<unknown>,
): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Runs an action and returns the promise rejections that were left unhandled. */
export async function unhandledIn(
  action: () => unknown | Promise<unknown>,
): Promise<unknown[]> {
  const unhandled: unknown[] = [];
  const listener = (reason: unknown) => {
    unhandled.push(reason);
  };
  process.on("unhandledRejection", listener);
  try {
    await action();
    // a rejection is called unhandled only once its turn of the event loop is over
    await new Promise((resolve) => setTimeout(resolve, 20));
  } finally {
    process.off("unhandledRejection", listener);
  }
  return unhandled;
}
