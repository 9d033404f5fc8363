/** For each rule of the conformance kit, what is wrong with a store that breaks it. */
import { BROKEN_ATOMIC } from "./broken_atomic.ts";
import { BROKEN_BASIC } from "./broken_basic.ts";
import { BROKEN_SHARED } from "./broken_shared.ts";
import type { Breakage } from "./broken.ts";

/** By the name of the rule. */
export const BROKEN: Readonly<Record<string, Breakage>> = {
  ...BROKEN_BASIC,
  ...BROKEN_ATOMIC,
  ...BROKEN_SHARED,
};
