/** Calls that join another one: reported as done only if the outer call can still write. */
import { assertEquals, assertLess } from "@std/assert";
import { describe } from "@std/testing/bdd";
import { codeOf } from "../support/errors.ts";
import { startScenario } from "../support/scenario.ts";
import { onEachStore } from "../support/stores/each_store.ts";
import { deferred, pause, settles } from "../support/wait.ts";

const LOCK = 500;

onEachStore((kind) => {
  const scene = async (lockTimeout = LOCK) => {
    const store = await kind.open();
    const stand = await startScenario({ store, lockTimeout });
    const { sessionId } = await stand.visit({ n: 0 });
    const { bridge } = stand;
    const run = (change: (session: Record<string, unknown>) => unknown) =>
      bridge.withSession(sessionId, ({ session }) => change(session!));
    return { ...stand, sessionId, run };
  };

  describe("a call that joins", () => {
    kind.it(
      "rejects once the session was given to another caller",
      async () => {
        const { peek, sessionId, run } = await scene();
        const [given, inside] = [deferred(), deferred()];
        let joined: string | undefined;
        const outer = codeOf(run(async () => {
          inside.resolve();
          await given.promise;
          joined = await codeOf(run((session) => session.inner = 1));
        }));
        await inside.promise;
        // it must not give up before the hold is over
        await pause(LOCK * 0.6);
        await run((session) => session.other = 1);
        given.resolve();
        assertEquals(await outer, "SESSION_TIMEOUT");
        assertEquals(joined, "SESSION_TIMEOUT");
        assertEquals(await peek(sessionId), { n: 0, other: 1 });
      },
    );

    kind.it("rejects when that happens while its handler runs", async () => {
      const { peek, sessionId, run } = await scene();
      const [given, inside] = [deferred(), deferred()];
      let joined: string | undefined;
      const outer = codeOf(run(async () => {
        joined = await codeOf(run(async (session) => {
          session.inner = 1;
          inside.resolve();
          await given.promise;
        }));
      }));
      await inside.promise;
      // it must not give up before the hold is over
      await pause(LOCK * 0.6);
      await run((session) => session.other = 1);
      given.resolve();
      assertEquals(await outer, "SESSION_TIMEOUT");
      assertEquals(joined, "SESSION_TIMEOUT");
      assertEquals(await peek(sessionId), { n: 0, other: 1 });
    });

    kind.it(
      "rejects once the session has ended, before or during its handler",
      async () => {
        const { bridge, peek, sessionId, run } = await scene(5_000);
        const [ended, inside] = [deferred(), deferred()];
        let read = 0;
        const codes: unknown[] = [];
        const outer = codeOf(run(async () => {
          const during = codeOf(run(async (session) => {
            inside.resolve();
            await ended.promise;
            session.inner = 1;
          }));
          codes.push(await during);
          codes.push(await codeOf(run(() => read++)));
        }));
        await inside.promise;
        assertEquals(await bridge.destroy(sessionId), true);
        ended.resolve();
        assertEquals(await outer, "SESSION_ENDED");
        assertEquals(codes, ["SESSION_ENDED", "SESSION_ENDED"]);
        assertEquals(read, 0);
        assertEquals(await peek(sessionId), undefined);
      },
    );

    kind.it(
      "never keeps a call open whose own handler has returned",
      async () => {
        const { peek, sessionId, run } = await scene(5_000);
        let done = 0;
        const ticks: Promise<unknown>[] = [];
        let timer: ReturnType<typeof setInterval> | undefined;
        const started = Date.now();
        await settles(
          run(async (session) => {
            session.outer = true;
            timer = setInterval(() => {
              ticks.push(
                run(async (session) => {
                  session.ticks = Number(session.ticks ?? 0) + 1;
                  await pause(15);
                }).then(() => done++),
              );
            }, 10);
            await pause(50);
          }),
          "the outer call",
          2_000,
        );
        assertLess(Date.now() - started, 2_000);
        assertEquals((await peek(sessionId))?.outer, true);
        await pause(60);
        clearInterval(timer);
        await Promise.all(ticks);
        assertEquals(done, ticks.length);
        assertEquals((await peek(sessionId))?.ticks, done);
      },
    );

    kind.it(
      "is complete, and its changes stored, where the outer handler did not wait for it",
      async () => {
        const { peek, sessionId, run } = await scene();
        let joined: Promise<unknown> | undefined;
        await run(() => {
          joined = run(async (session) => {
            await pause(20);
            session.inner = 1;
          });
        });
        assertEquals(await peek(sessionId), { n: 0, inner: 1 });
        await settles(joined!);
      },
    );
  });

  describe("a call that was left behind by a handler", () => {
    kind.it("is a new call, and joins none", async () => {
      const { peek, sessionId, run } = await scene();
      let later: Promise<unknown> | undefined;
      await run(() => {
        later = pause(20).then(() => run((session) => session.later = 1));
      });
      await run(async (session) => {
        session.between = 1;
        await pause(40);
        assertEquals(session.later, undefined);
      });
      await later;
      assertEquals(await peek(sessionId), { n: 0, between: 1, later: 1 });
    });
  });

  describe("a result whose `then` throws when it is read", () => {
    kind.it("rejects the call and releases the session", async () => {
      const { peek, sessionId, run } = await scene(5_000);
      const hostile = () => ({
        get then(): never {
          throw new Error("of then");
        },
      });
      assertEquals(
        await codeOf(run((session) => {
          session.n = 1;
          return hostile();
        })),
        "Error: of then",
      );
      const started = Date.now();
      await run((session) => session.after = 1);
      assertLess(Date.now() - started, 2_000);
      // joined as well
      await run(async () => {
        assertEquals(await codeOf(run(hostile)), "Error: of then");
      });
      assertEquals(await peek(sessionId), { n: 0, after: 1 });
    });
  });
});
