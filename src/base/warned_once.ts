/**
 * Warnings that are printed once each.
 *
 * @module
 */

/** How many warnings of a kind a process prints at most. */
const MAX_WARNINGS = 100;

/** Warnings of one kind, each told from the others by what it is about. */
export class WarnedOnce {
  readonly #subjects = new Set<string>();

  /**
   * Prints a warning, unless one about the same was printed.
   *
   * @param text makes the text, without the name of the package
   */
  warn(subject: string, text: (subject: string) => string): void {
    if (this.#subjects.has(subject) || this.#subjects.size >= MAX_WARNINGS) {
      return;
    }
    this.#subjects.add(subject);
    console.warn(`[koa-io-session] ${text(subject)}`);
  }
}
