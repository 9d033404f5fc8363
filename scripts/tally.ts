/** Counts test results of several programs with different report formats. */

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  /** Name and message of each failed test. */
  failures: string[];
}

export function emptyTally(): Tally {
  return { passed: 0, failed: 0, skipped: 0, failures: [] };
}

export function add(to: Tally, more: Tally): void {
  to.passed += more.passed;
  to.failed += more.failed;
  to.skipped += more.skipped;
  to.failures.push(...more.failures);
}

/** Counts a failure of something that is not a test of a report. */
export function addFailure(to: Tally, text: string): void {
  to.failed++;
  to.failures.push(text);
}

/** Counts what is not a test of a report, by whether it went well. */
export function addResult(to: Tally, what: string, ok: boolean): void {
  if (ok) to.passed++;
  else addFailure(to, what);
}

/** The end of the output: what failed, and as last line the totals. */
export function summary(tally: Tally): string {
  const { passed, failed, skipped, failures } = tally;
  const listed = failures.length > 0
    ? `Failed:\n\n${failures.join("\n\n")}\n\n`
    : "";
  const tail = skipped > 0 ? `, ${skipped} skipped` : "";
  return `${listed}${passed} passed, ${failed} failed${tail}`;
}

/**
 * Counts the JUnit report of `deno test`, where a test and each of its steps
 * is a case: a case with steps counts only if it failed and none of them did,
 * as when a sanitizer found a leak.
 */
export function tallyOfJunit(xml: string): Tally {
  const tally = emptyTally();
  const suites = xml.matchAll(
    /<testsuite name="([^"]*)".*?<\/testsuite>/gs,
  );
  for (const [suite, file] of suites) {
    const cases = [...suite.matchAll(
      /<testcase name="([^"]*)".*?<\/testcase>/gs,
    )].map(([text, name]) => ({
      name: name!,
      text,
      failed: /<(failure|error)\b/.test(text),
      skipped: /<skipped\b/.test(text),
    }));
    for (const { name, text, failed, skipped } of cases) {
      const steps = cases.filter((other) =>
        other.name.startsWith(`${name} &gt; `)
      );
      if (failed && !steps.some((step) => step.failed)) {
        const message = text.match(/<(?:failure|error)\b[^>]*>(.*?)<\//s)?.[1];
        addFailure(
          tally,
          failure(`${file}: ${unescaped(name)}`, unescaped(message ?? "")),
        );
      } else if (steps.length > 0) continue;
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
    failures: failuresOfTap(tap),
  };
}

function failuresOfTap(tap: string): string[] {
  const results = tap.matchAll(
    /^( *)not ok \d+ - (.*)\n\1 {2}---\n([^]*?)^\1 {2}\.\.\.$/gm,
  );
  const failures: string[] = [];
  for (const [, indent, name, details] of results) {
    // a suite that failed by its tests
    if (details!.includes("failureType: 'subtestsFailed'")) continue;
    const lines = details!.split("\n").map((line) =>
      line.slice(indent!.length + 2)
    );
    failures.push(failure(name!, lines.join("\n")));
  }
  return failures;
}

/** Lines of a message that are shown. */
const SHOWN_LINES = 30;

function failure(name: string, message: string): string {
  const lines = message.trim().split("\n").slice(0, SHOWN_LINES);
  return [name, ...lines.map((line) => `  ${line}`)].join("\n");
}

function unescaped(text: string): string {
  const named: Record<string, string> = {
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    amp: "&",
  };
  return text.replace(/&(\w+);/g, (whole, name) => named[name] ?? whole);
}
