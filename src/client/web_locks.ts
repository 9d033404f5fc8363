/**
 * The part of the Web Locks API that is used: not every runtime has it, or its types.
 *
 * @module
 */

/** `navigator.locks`. */
export interface WebLocks {
  /** Runs a function while no other tab of the origin holds the lock. */
  request<T>(
    name: string,
    options: { readonly signal: AbortSignal },
    run: () => Promise<T>,
  ): Promise<T>;
}
