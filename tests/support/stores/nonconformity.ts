/** What stores that break the rules have in common. */
import { pause } from "../wait.ts";
import type { ReferenceStore } from "./reference_store.ts";

/** What stands in the place of the good store's members. */
export type Faults = Partial<ReferenceStore>;

/** The faults of a store, or, under `peer`, of the second one. */
export type Breakage = (good: ReferenceStore) => Faults | { peer: Faults };

/** After the others have had their turn. */
export const later = () => pause(0);

/** Looks first and writes later, as if nobody else were there. */
export const careless = (good: ReferenceStore): Faults => ({
  async write(sid, record, expected) {
    const { version } = await good.read(sid) ?? {};
    await later();
    if ((version ?? null) !== expected) return undefined;
    return good.force(sid, record).version;
  },
});

/** As some databases do to text. */
export const lossy = (text: string) => text.replaceAll("\u2028", " ");
