/**
 * The Web Locks API as far as it is used: not every runtime has it, or its types.
 *
 * @module
 */

/** `navigator.locks`. */
export interface WebLocks {
  /** Runs something alone among all tabs of an origin. */
  request<T>(
    name: string,
    options: { readonly signal: AbortSignal },
    run: () => Promise<T>,
  ): Promise<T>;
}
