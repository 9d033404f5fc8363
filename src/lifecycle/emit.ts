/**
 * Emitting the events of the bridge.
 *
 * @module
 */
import type { BridgeEvents } from "../api/events.ts";

/** Emits an event of the bridge. */
export type Emit = <K extends keyof BridgeEvents>(
  event: K,
  ...args: BridgeEvents[K]
) => unknown;

/**
 * Isolates the bridge from its listeners: what a listener throws is emitted as
 * `error` once the operation in progress is complete. Without a listener of
 * `error` it is an uncaught exception, as with any emitter.
 */
export function isolated(emit: Emit): Emit {
  return (event, ...args) => {
    try {
      return emit(event, ...args);
    } catch (thrown) {
      queueMicrotask(() => {
        emit(
          "error",
          thrown instanceof Error ? thrown : new Error(String(thrown)),
        );
      });
    }
  };
}
