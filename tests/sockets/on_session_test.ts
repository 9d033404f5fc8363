import type { SessionSocket } from "@koa-io/session";
import {
  assert,
  assertEquals,
  assertFalse,
  assertMatch,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import process from "node:process";
import type { TestSession } from "../support/app.ts";
import { errorsPrintedBy } from "../support/console.ts";
import { type Parts, sessionRoutes } from "../support/routes.ts";
import {
  closeServers,
  startServer,
  type TestOptions,
} from "../support/server.ts";
import { fakeStore } from "../support/stores/fake_store.ts";

type Setup = (socket: SessionSocket<TestSession>) => void;

/** A server whose sockets are set up, and a browser with a session on one. */
async function start(setup: Setup, options: TestOptions = {}) {
  const stand = await startServer(options, (parts: Parts) => {
    sessionRoutes(parts.app);
    parts.io.on("connection", (raw) => setup(parts.bridge.socket(raw)));
  });
  const errors: Error[] = [];
  stand.bridge.on("error", (error) => errors.push(error as Error));
  const ada = stand.browser();
  await ada.post("/session", { json: { n: 1 } });
  return { ...stand, bridge: stand.bridge, errors, ada };
}

describe("socket.onSession", () => {
  afterEach(closeServers);

  it("answers an event by what a handler makes of the session and the arguments", async () => {
    const { ada } = await start((socket) => {
      const returned = socket.onSession("add", ({ session }, n, m) => {
        session.n = (session.n as number) + n + m;
        return session.n;
      });
      assertStrictEquals(returned, socket);
    });
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "add", 2, 3), 6);
    assertEquals((await ada.get("/session")).json.session.n, 6);
  });

  it("takes an event without an acknowledgement", async () => {
    const { ada, errors } = await start((socket) => {
      socket.onSession("add", ({ session }) => {
        session.n = (session.n as number) + 1;
      });
      socket.onSession("get", ({ session }) => session.n);
      socket.onSession("fail", () => {
        throw new Error("a fault");
      });
    });
    const socket = await ada.connect();
    socket.emit("add");
    socket.emit("add", null, { length: -1 }, [[]]);
    socket.emit("fail");
    assertEquals(await ada.ask(socket, "get"), 3);
    assertEquals(errors.map(({ message }) => message), ["a fault"]);
  });

  it("answers an error by its code, and reports it without telling the client", async () => {
    const { ada, errors } = await start((socket) => {
      socket.onSession("fail", () => {
        throw Object.assign(new Error("the password is x"), { code: "X" });
      });
      socket.onSession("reject", () => Promise.reject(undefined));
      socket.onSession("reserved", ({ session }) => {
        Object.assign(session, { maxAge: 1 });
      });
    });
    const socket = await ada.connect();
    for (const event of ["fail", "reject", "reserved"]) {
      assertEquals(await ada.ask(socket, event), { error: "INTERNAL" });
    }
    assertEquals(errors.length, 3);
    assertEquals(errors[0]!.message, "the password is x");
  });

  it("prints an error where nobody listens, as Koa does", async () => {
    const store = fakeStore();
    const { ada, bridge } = await start((socket) => {
      socket.onSession("get", ({ session }) => session.n);
      socket.onSession("fail", () => {
        throw fault;
      });
    }, { store } as TestOptions);
    const fault = new Error("a fault of the handler");
    const socket = await ada.connect();
    bridge.removeAllListeners("error");
    const printed = await errorsPrintedBy(async () => {
      assertEquals(await ada.ask(socket, "fail"), { error: "INTERNAL" });
      store.fault = "reject";
      assertEquals(await ada.ask(socket, "get"), { error: "SESSION_STORE" });
    });
    store.fault = "none";
    assertEquals(printed[0], [fault]);
    assertEquals(printed.length, 2);
    assertMatch(
      String(printed[1]),
      /^\[koa-io-session\] SessionStoreError: Cannot read/,
    );
  });

  it("answers a guest SESSION_MISSING, and reports nothing", async () => {
    const { browser, errors } = await start((socket) => {
      socket.onSession("get", ({ session }) => session);
      socket.onSession("value", () => 1, "please log in");
      socket.onSession("call", () => 1, () => ({ guest: true }));
      socket.onSession("error", () => 1, new Error("please log in"));
    });
    const guest = browser();
    const socket = await guest.connect();
    const missing = { error: "SESSION_MISSING" };
    assertEquals(await guest.ask(socket, "get"), missing);
    assertEquals(await guest.ask(socket, "value"), "please log in");
    assertEquals(await guest.ask(socket, "call"), { guest: true });
    assertEquals(await guest.ask(socket, "error"), missing);
    assertEquals(errors, []);
  });

  it("answers SESSION_ENDED where the session ends while the handler runs, unless onMissing says otherwise", async () => {
    let entered = () => {};
    let leave = Promise.resolve();
    const slow = async () => {
      entered();
      await leave;
      return "done";
    };
    const { ada, errors, bridge } = await start((socket) => {
      socket.onSession("plain", slow);
      socket.onSession("decided", slow, "please log in");
    });
    for (
      const [event, expected] of [
        ["plain", { error: "SESSION_ENDED" }],
        ["decided", "please log in"],
      ] as const
    ) {
      await ada.post("/session", { json: { n: 1 } });
      const socket = await ada.connect();
      const inside = new Promise<void>((resolve) => entered = resolve);
      let go = () => {};
      leave = new Promise((resolve) => go = resolve);
      const answer = ada.ask(socket, event);
      await inside;
      const { sessionId } = (await ada.get("/")).json;
      assertEquals(await bridge.destroy(sessionId), true);
      go();
      assertEquals(await answer, expected);
    }
    assertEquals(errors, []);
  });

  it("refuses what is no event or no handler", async () => {
    const thrown: unknown[] = [];
    const { ada } = await start((socket) => {
      const call = socket.onSession as (...args: unknown[]) => unknown;
      for (const args of [[42, () => {}], ["get"], ["get", "text"]]) {
        try {
          call.apply(socket, args);
        } catch (error) {
          thrown.push((error as Error).message);
        }
      }
    });
    await ada.connect();
    assertEquals(thrown, [
      "Cannot listen for an event as event must be a string or a symbol: received 42",
      "Cannot listen for an event as handler must be a function: received undefined",
      'Cannot listen for an event as handler must be a function: received "text"',
    ]);
  });

  it("makes no unhandled rejection, whatever happens", async () => {
    const rejections: unknown[] = [];
    const listener = (reason: unknown) => rejections.push(reason);
    process.on("unhandledRejection", listener);
    try {
      const { ada, errors } = await start((socket) => {
        socket.onSession("cyclic", () => {
          const cyclic: Record<string, unknown> = {};
          return cyclic.self = cyclic;
        });
        socket.onSession("never", () => new Promise(() => {}));
        socket.onSession("get", ({ session }) => session.n);
      }, { lockTimeout: 200 });
      const socket = await ada.connect();
      socket.emit("cyclic", () => {});
      socket.emit("never");
      assertEquals(await ada.ask(socket, "get"), 1);
      assert(errors.length > 0);
    } finally {
      await closeServers();
      process.off("unhandledRejection", listener);
    }
    assertEquals(rejections, []);
  });
});

describe("bridge.socket", () => {
  afterEach(closeServers);

  it("is the socket itself, and refuses any other", async () => {
    const seen: boolean[] = [];
    const stand = await startServer({}, (parts) => {
      sessionRoutes(parts.app);
      parts.io.on("connection", (raw) => {
        const socket = parts.bridge.socket(raw);
        seen.push((socket as unknown) === raw);
      });
    });
    const ada = stand.browser();
    await ada.connect();
    assertEquals(seen, [true]);
    for (const other of [{}, null, "socket"]) {
      assertThrows(
        () => stand.bridge.socket(other as never),
        TypeError,
        "socket must be one of this bridge",
      );
    }
    assertFalse(seen.includes(false));
  });
});
