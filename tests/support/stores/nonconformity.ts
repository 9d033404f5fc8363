/** What the stores that break rules have in common. */
import { pause } from "../wait.ts";
import type { ReferenceStore } from "./reference_store.ts";

/** Members that replace those of the good store. */
export type Faults = Partial<ReferenceStore>;

/** The faults of a store, or, under `peer`, of the second one. */
export type Breakage = (good: ReferenceStore) => Faults | { peer: Faults };

/** After the other callers have run. */
export const later = () => pause(0);

/** Reads first and writes later, without looking for writes in between. */
export const careless = (good: ReferenceStore): Faults => ({
  async write(sid, record, expected) {
    const { version } = await good.read(sid) ?? {};
    await later();
    if ((version ?? null) !== expected) return undefined;
    return good.force(sid, record).version;
  },
});

/** Changes text as some databases do. */
export const lossy = (text: string) => text.replaceAll("\u2028", " ");
