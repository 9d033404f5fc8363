/** Garbage collection on demand, on each runtime. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Collects garbage at once. */
export const collectGarbage: () => void = collector();

function collector(): () => void {
  const { gc, Bun } = globalThis as {
    gc?: () => void;
    Bun?: { gc(synchronous: boolean): void };
  };
  if (gc) return gc;
  if (Bun) return () => Bun.gc(true);
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}
