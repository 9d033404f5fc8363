import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Socket } from "socket.io";
import type { RecoveryGate } from "../../src/sockets/recovery.ts";
import { Reconnects } from "../../src/sockets/reconnects.ts";
import { SOCKET_STATE } from "../../src/sockets/socket_extension.ts";

/** Timers that a test fires, and a clock that they set. */
class FakeTimers {
  now = 1_000_000;
  readonly #due = new Map<number, { at: number; act: () => void }>();
  #id = 0;

  /** The delays of the timers that are set. */
  get delays(): number[] {
    return [...this.#due.values()].map(({ at }) => at - this.now);
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    this.now += ms;
    for (const [id, { at, act }] of this.#due) {
      if (at > this.now) continue;
      this.#due.delete(id);
      act();
    }
    // whether the session is alive is asked of the store
    await Promise.resolve();
    await Promise.resolve();
  }

  /** Runs a test on these timers. */
  async run(test: () => Promise<void> | void): Promise<void> {
    const { setTimeout, clearTimeout } = globalThis;
    const { now } = Date;
    const set = (act: () => void, delay: number) => {
      this.#due.set(++this.#id, { at: this.now + delay, act });
      return this.#id;
    };
    Object.assign(globalThis, {
      setTimeout: set,
      clearTimeout: (id: number) => this.#due.delete(id),
    });
    Date.now = () => this.now;
    try {
      await test();
    } finally {
      Object.assign(globalThis, { setTimeout, clearTimeout });
      Date.now = now;
    }
  }
}

/** A socket, and how its connection was closed: `true` where it was discarded. */
function fakeSocket(
  clientId = "client",
): { socket: Socket; closed: boolean[] } {
  const closed: boolean[] = [];
  const conn = {
    readyState: "open",
    transport: {},
    close: (discard = false) => void closed.push(discard),
  };
  const socket = { conn, [SOCKET_STATE]: { clientId } };
  return { socket: socket as unknown as Socket, closed };
}

/** `Reconnects`, and the sockets whose recovery it refused. */
function reconnects() {
  const refused: Socket[] = [];
  const gate = { refuse: (socket: Socket) => void refused.push(socket) };
  return {
    refused,
    reconnects: new Reconnects(gate as unknown as RecoveryGate, fail),
  };
}

/** Receives what must not be thrown here. */
function fail(error: unknown): void {
  throw error;
}

const always = () => true;
const alive = () => Promise.resolve(true);

describe("Reconnects.heal", () => {
  it("closes a guest's connection after 1 s, 3 s and 9 s, and leaves it alone then", async () => {
    const timers = new FakeTimers();
    await timers.run(async () => {
      const { reconnects: it, refused } = reconnects();
      for (const [i, delay] of [1_000, 3_000, 9_000].entries()) {
        const { socket, closed } = fakeSocket();
        it.heal("client", socket, always, alive);
        await timers.pass(delay - 1);
        assertEquals(closed, []);
        await timers.pass(1);
        assertEquals(closed, [false]);
        assertEquals(refused.length, i + 1);
        // one that its client does not take
        await timers.pass(1_000);
        assertEquals(closed, [false, true]);
      }
      const { socket, closed } = fakeSocket();
      it.heal("client", socket, always, alive);
      assertEquals(timers.delays, []);
      await timers.pass(60_000);
      assertEquals(closed, []);
    });
  });

  it("closes the guests of a client together, and counts them once", async () => {
    const timers = new FakeTimers();
    await timers.run(async () => {
      const { reconnects: it } = reconnects();
      const [one, two] = [fakeSocket(), fakeSocket()];
      it.heal("client", one.socket, always, alive);
      await timers.pass(600);
      it.heal("client", two.socket, always, alive);
      await timers.pass(400);
      assertEquals([one.closed, two.closed], [[false], [false]]);
      const again = fakeSocket();
      it.heal("client", again.socket, always, alive);
      await timers.pass(2_999);
      assertEquals(again.closed, []);
      await timers.pass(1);
      assertEquals(again.closed, [false]);
    });
  });

  it("leaves those alone that are in the session by then, or have disconnected", async () => {
    const timers = new FakeTimers();
    await timers.run(async () => {
      const { reconnects: it } = reconnects();
      const [member, away, guest] = [fakeSocket(), fakeSocket(), fakeSocket()];
      const isGuest = (socket: Socket) => socket !== member.socket;
      for (const { socket } of [member, away, guest]) {
        it.heal("client", socket, isGuest, alive);
      }
      it.forget(away.socket);
      await timers.pass(1_000);
      assertEquals([member.closed, away.closed, guest.closed], [
        [],
        [],
        [false],
      ]);
    });
  });

  it("counts each client by itself, and begins again once one was healed", async () => {
    const timers = new FakeTimers();
    await timers.run(async () => {
      const { reconnects: it } = reconnects();
      const closedAfter = async (clientId: string) => {
        const { socket, closed } = fakeSocket(clientId);
        const since = timers.now;
        it.heal(clientId, socket, always, alive);
        while (closed.length === 0) await timers.pass(500);
        return timers.now - since;
      };
      assertEquals(await closedAfter("a"), 1_000);
      assertEquals(await closedAfter("a"), 3_000);
      assertEquals(await closedAfter("b"), 1_000);
      it.healed("a");
      assertEquals(await closedAfter("a"), 1_000);
      assertEquals(await closedAfter("b"), 3_000);
    });
  });

  it("leaves them alone where the session has ended, or the store fails", async () => {
    const timers = new FakeTimers();
    await timers.run(async () => {
      const { reconnects: it } = reconnects();
      const answers = [Promise.resolve(false), Promise.reject(new Error())];
      for (const [i, answer] of answers.entries()) {
        const { socket, closed } = fakeSocket();
        it.heal(`client ${i}`, socket, always, () => answer);
        await timers.pass(1_000);
        assertEquals(closed, []);
      }
    });
  });

  it("sets no timer once it is stopped", async () => {
    const timers = new FakeTimers();
    await timers.run(() => {
      const { reconnects: it } = reconnects();
      const [before, after] = [fakeSocket(), fakeSocket()];
      it.heal("a", before.socket, always, alive);
      it.stop();
      it.heal("b", after.socket, always, alive);
      assertEquals(timers.delays, []);
      return Promise.resolve();
    });
  });
});
