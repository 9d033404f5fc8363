import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import {
  addFailure,
  emptyTally,
  summary,
  tallyOfJunit,
  tallyOfTap,
} from "../../scripts/tally.ts";

describe("the tally of test results", () => {
  it("counts the steps of a JUnit report, and names what failed", () => {
    const tally = tallyOfJunit(`<testsuites>
<testsuite name="./a_test.ts">
  <testcase name="outer"><failure message="1 test step failed">1 test step failed.</failure></testcase>
  <testcase name="leak"><failure message="Leaks detected">Leaks detected:
  - A file was opened.</failure></testcase>
  <testcase name="outer &gt; good"></testcase>
  <testcase name="outer &gt; bad &amp; wrong"><failure message="no">Error: a &lt; b</failure></testcase>
</testsuite>
</testsuites>`);
    assertEquals([tally.passed, tally.failed, tally.skipped], [1, 2, 0]);
    assertEquals(tally.failures, [
      "./a_test.ts: leak\n  Leaks detected:\n    - A file was opened.",
      "./a_test.ts: outer > bad & wrong\n  Error: a < b",
    ]);
  });

  it("takes the totals of a TAP report, and names the tests that failed", () => {
    const tally = tallyOfTap(`TAP version 13
# Subtest: outer
    # Subtest: worse
    not ok 1 - worse
      ---
      location: '/a_test.js:3:28'
      failureType: 'testCodeFailure'
      error: |-
        line one
        line two
      ...
    1..1
not ok 1 - outer
  ---
  failureType: 'subtestsFailed'
  error: '1 subtest failed'
  ...
1..1
# pass 7
# fail 1
# cancelled 1
# skipped 2
# todo 0
`);
    assertEquals([tally.passed, tally.failed, tally.skipped], [7, 2, 2]);
    assertEquals(tally.failures.length, 1);
    assertStringIncludes(tally.failures[0]!, "worse\n  location: '/a_test");
    assertStringIncludes(tally.failures[0]!, "    line two");
  });

  it("ends with the totals, after the names of what failed", () => {
    const tally = { ...emptyTally(), passed: 3 };
    assertEquals(summary(tally), "3 passed, 0 failed");
    addFailure(tally, "deno lint");
    const lines = summary(tally).split("\n");
    assert(lines.includes("deno lint"));
    assertEquals(lines.at(-1), "3 passed, 1 failed");
  });
});
