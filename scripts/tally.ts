/** Counts test results of several programs with different report formats. */

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export function emptyTally(): Tally {
  return { passed: 0, failed: 0, skipped: 0 };
}

export function add(to: Tally, more: Tally): void {
  to.passed += more.passed;
  to.failed += more.failed;
  to.skipped += more.skipped;
}

/** The last line of the output. */
export function summary({ passed, failed, skipped }: Tally): string {
  const tail = skipped > 0 ? `, ${skipped} skipped` : "";
  return `${passed} passed, ${failed} failed${tail}`;
}

/**
 * Counts the JUnit report of `deno test`, where a test and each of its steps
 * is a case: a case with steps counts only if it failed and none of them did,
 * as when a sanitizer found a leak.
 */
export function tallyOfJunit(xml: string): Tally {
  const tally = emptyTally();
  for (const [suite] of xml.matchAll(/<testsuite .*?<\/testsuite>/gs)) {
    const cases = [...suite.matchAll(
      /<testcase name="([^"]*)".*?<\/testcase>/gs,
    )].map(([text, name]) => ({
      name: name!,
      failed: /<(failure|error)\b/.test(text),
      skipped: /<skipped\b/.test(text),
    }));
    for (const { name, failed, skipped } of cases) {
      const steps = cases.filter((other) =>
        other.name.startsWith(`${name} &gt; `)
      );
      if (failed && !steps.some((step) => step.failed)) tally.failed++;
      else if (steps.length > 0) continue;
      else if (skipped) tally.skipped++;
      else tally.passed++;
    }
  }
  return tally;
}

/** Counts the TAP report of `node --test`. */
export function tallyOfTap(tap: string): Tally {
  const count = (word: string) =>
    Number(tap.match(new RegExp(`^# ${word} (\\d+)$`, "m"))?.[1] ?? 0);
  return {
    passed: count("pass"),
    failed: count("fail") + count("cancelled"),
    skipped: count("skipped") + count("todo"),
  };
}
