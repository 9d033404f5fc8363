import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertLess,
} from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { startScenario } from "../support/scenario.ts";
import { once, pause } from "../support/wait.ts";

/** The grace period, in ms. */
const GRACE = 500;
/** A timer may fire early by this, in ms. */
const EARLY = 10;

/** A socket whose session has ended, and whose client has begun another one, within the grace period. */
async function startAgain() {
  const scenario = await startScenario({
    onSessionEnd: { disconnectAfter: GRACE },
  });
  const { browser, connect } = await scenario.visit();
  const { client } = await connect();
  const end = once(client, "session:end");
  await browser.post("/logout");
  await end;
  const ended = Date.now();
  const start = once(client, "session:start");
  await browser.post("/session", { json: { n: 1 } });
  await start;
  return { scenario, browser, client, ended };
}

describe("The grace period of disconnectAfter", () => {
  it("is not cut short by that of an earlier end", async () => {
    const { scenario, browser, client, ended } = await startAgain();
    await using _ = scenario;
    while (Date.now() < ended + GRACE / 2) await browser.get("/");
    const closed = once(client, "disconnect");
    const since = Date.now();
    assertLess(since, ended + GRACE);
    await browser.post("/logout");
    assertEquals((await closed)[0], "io server disconnect");
    assertGreaterOrEqual(Date.now() - since, GRACE - EARLY);
  });

  it("disconnects no socket that is in another session by then", async () => {
    const { scenario, browser, client } = await startAgain();
    await using _ = scenario;
    await pause(GRACE + 50);
    assert(client.connected);
    assertEquals(await browser.ask(client, "get"), { n: 1 });
  });
});
