/** The small examples, each run as a process and tested for what its first lines promise. */
import {
  assert,
  assertEquals,
  assertLess,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Browser } from "../support/browser.ts";
import {
  type Program,
  startProgram,
  stopPrograms,
} from "../support/docs/program.ts";
import { itNeedsRedis, startRedis } from "../support/redis/server.ts";
import { HAS_SQLITE } from "../support/sqlite.ts";
import { once, until } from "../support/wait.ts";

const FOLDER = new URL("../../examples/", import.meta.url);
const names = readdirSync(FOLDER).filter((name) => name.endsWith(".ts"));
const browsers: Browser[] = [];

function textOf(name: string): string {
  return readFileSync(new URL(name, FOLDER), "utf8");
}

function start(name: string, env?: Record<string, string>): Promise<Program> {
  return startProgram({ [name]: textOf(name) }, name, env);
}

function browserAt({ url }: Program): Browser {
  const browser = new Browser(url);
  browsers.push(browser);
  return browser;
}

async function leave(): Promise<void> {
  await Promise.all(browsers.splice(0).map((browser) => browser.close()));
  await stopPrograms();
}

describe("examples", () => {
  for (const name of names) {
    it(`${name} is short, names its command, and listens at the address that it prints`, () => {
      const text = textOf(name);
      assertLess(text.trimEnd().split("\n").length, 60);
      assertStringIncludes(text, `deno run -A examples/${name}`);
      assertStringIncludes(text, "server.listen(process.env.PORT ?? 3000)");
      assert(!text.includes("Deno."), "runs on Node too");
    });
  }
});

describe("examples/chat.ts", () => {
  afterEach(leave);

  it("sends a message to all sockets of both users, and to no other", async () => {
    const program = await start("chat.ts");
    const [ada, phone, grace, eve] = [0, 1, 2, 3].map(() => browserAt(program));
    await ada!.post("/?name=ada");
    await phone!.post("/?name=ada");
    await grace!.post("/?name=grace");
    await eve!.get("/");
    const from = await ada!.connect();
    const tab = await ada!.connect();
    const other = await phone!.connect();
    const to = await grace!.connect();
    const guest = await eve!.connect();
    guest.emit("message", "ada", "let me in");
    from.emit("message", "grace", "hello");
    const message = [{ from: "ada", to: "grace", text: "hello" }];
    assertEquals(await ada!.event(from, "message"), message);
    assertEquals(await ada!.event(tab, "message"), message);
    assertEquals(await phone!.event(other, "message"), message);
    assertEquals(await grace!.event(to, "message"), message);
    to.emit("message", "grace", "note to self");
    await once(to, "message");
    const heard = grace!.received(to).filter(([event]) => event === "message");
    assertEquals(heard.length, 2);
    assertEquals(eve!.received(guest), []);
  });
});

describe("examples/login.ts", () => {
  afterEach(leave);

  it("leaves ids and sockets from before the login outside", async () => {
    const program = await start("login.ts");
    const eve = browserAt(program);
    await eve.get("/");
    const spy = await eve.connect();
    const ada = new Browser(program.url, eve.jar.clone());
    browsers.push(ada);
    const before = await ada.connect();
    const closed = [spy, before].map((socket) => once(socket, "disconnect"));
    await ada.post("/login");
    for (const [reason] of await Promise.all(closed)) {
      assertEquals(reason, "transport close");
    }
    for (const browser of [ada, eve]) {
      const [last] = browser.received(browser === ada ? before : spy).slice(-1);
      assertEquals(last, ["session:rotated", { sockets: "reconnect" }]);
    }
    assertStringIncludes((await ada.get("/")).body, "ada: 1 sessions");
    assertStringIncludes((await eve.get("/")).body, "nobody: 0 sessions");

    const again = await eve.connect();
    const tab = await ada.connect();
    const ended = ada.event(tab, "session:end");
    await ada.post("/logout-everywhere");
    assertEquals(await ended, [{ reason: "revoked" }]);
    assertEquals(eve.received(again), []);
  });

  it("leaves cookies outside that were copied before the logout", async () => {
    const program = await start("login.ts");
    const ada = browserAt(program);
    await ada.post("/login");
    const thief = new Browser(program.url, ada.jar.clone());
    browsers.push(thief);
    assertStringIncludes((await thief.get("/")).body, "ada: 1 sessions");
    await ada.post("/logout");
    await ada.post("/login");
    assertStringIncludes((await thief.get("/")).body, "nobody: 0 sessions");
    assertStringIncludes((await ada.get("/")).body, "ada: 1 sessions");
  });

  it("logs out everywhere, and disconnects after a grace", async () => {
    const program = await start("login.ts");
    const [laptop, phone] = [browserAt(program), browserAt(program)];
    await laptop.post("/login");
    await phone.post("/login");
    assertStringIncludes((await laptop.get("/")).body, "ada: 2 sessions");
    const socket = await phone.connect();
    const closed = once(socket, "disconnect");
    await laptop.post("/logout-everywhere");
    assertEquals(await phone.event(socket, "session:end"), [{
      reason: "revoked",
    }]);
    assertEquals((await closed)[0], "io server disconnect");
    for (const browser of [laptop, phone]) {
      assertStringIncludes((await browser.get("/")).body, "nobody");
    }
  });

  it("logs out", async () => {
    const ada = browserAt(await start("login.ts"));
    await ada.post("/login");
    const socket = await ada.connect();
    await ada.post("/logout");
    assertEquals(await ada.event(socket, "session:end"), [{
      reason: "logout",
    }]);
  });
});

describe("examples/devices.ts", () => {
  afterEach(leave);

  /** Logs in with a browser of this name. */
  async function login(program: Program, name: string): Promise<Browser> {
    const browser = browserAt(program);
    await browser.post("/login", { headers: { "user-agent": name } });
    return browser;
  }

  it("lists the devices without an id, ends one, and all others", async () => {
    const program = await start("devices.ts");
    const laptop = await login(program, "<b>laptop");
    const phone = await login(program, "phone");
    const tablet = await login(program, "tablet");
    const { body } = await laptop.get("/");
    assertEquals(body.match(/<li>/g)?.length, 3);
    assertMatch(body, /<li>&#60;b&#62;laptop at \S+,\s+this device/);
    const cookies = [laptop, phone, tablet].map(({ jar }) =>
      jar.header() ?? ""
    );
    for (const value of cookies.join("; ").split("; ")) {
      assert(!body.includes(value.slice(value.indexOf("=") + 1)), value);
    }

    const socket = await phone.connect();
    const ended = phone.event(socket, "session:end");
    const [, handle] = body.match(/<li>phone[^]*?handle=([\w-]+)/) ?? [];
    await laptop.post(`/end?handle=${handle}`);
    assertEquals(await ended, [{ reason: "revoked" }]);
    assertStringIncludes((await phone.get("/")).body, "a guest");
    assertStringIncludes((await tablet.get("/")).body, "tablet at");

    await laptop.post("/end-others");
    assertStringIncludes((await tablet.get("/")).body, "a guest");
    const last = (await laptop.get("/")).body;
    assertEquals(last.match(/<li>/g)?.length, 1);
  });
});

describe("examples/express_store.ts", () => {
  afterEach(leave);

  it("counts requests and sockets together", async () => {
    const ada = browserAt(await start("express_store.ts"));
    assertStringIncludes((await ada.get("/")).body, "<button>1</button>");
    assertStringIncludes((await ada.get("/")).body, "<button>2</button>");
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "count"), 3);
    assertStringIncludes((await ada.get("/")).body, "<button>4</button>");
  });
});

describe("examples/sqlite.ts", () => {
  afterEach(leave);

  const itHasSqlite = (name: string, body: () => Promise<void>) =>
    HAS_SQLITE
      ? it(name, body)
      : console.log(`!!! LEFT OUT: ${name}: there is no node:sqlite`);

  /** Runs a test with the path of a new database. */
  async function withFile(body: (FILE: string) => Promise<void>) {
    const dir = mkdtempSync(join(tmpdir(), "example-"));
    try {
      await body(join(dir, "sessions.db"));
      await leave();
    } finally {
      rmSync(dir, { recursive: true });
    }
  }

  itHasSqlite(
    "ends at Ctrl+C while a tab is open, and a browser keeps an unused connection",
    () =>
      withFile(async (FILE) => {
        const program = await start("sqlite.ts", { FILE });
        const ada = browserAt(program);
        await ada.get("/");
        const socket = await ada.connect();
        const unused = connect(Number(new URL(program.url).port), "127.0.0.1");
        unused.on("error", () => {});
        try {
          await once(unused, "connect");
          const closed = once(socket, "disconnect");
          assertEquals(await program.interrupt(), 0);
          await closed;
          assertEquals(program.output().replace(/LISTENING \d+\n/, ""), "");
        } finally {
          unused.destroy();
        }
      }),
  );

  itHasSqlite(
    "goes on with the count after its process was killed",
    () =>
      withFile(async (FILE) => {
        const first = await start("sqlite.ts", { FILE });
        const ada = browserAt(first);
        assertStringIncludes((await ada.get("/")).body, "<button>0</button>");
        const socket = await ada.connect();
        assertEquals(await ada.ask(socket, "count"), 1);
        assertEquals(await ada.ask(socket, "count"), 2);
        await first.stop();

        const again = browserAt(await start("sqlite.ts", { FILE }));
        const { jar } = ada;
        const body = (await again.get("/", { jar })).body;
        assertStringIncludes(body, "<button>2</button>");
        const late = await again.connect("/", { jar });
        assertEquals(await again.ask(late, "count"), 3);
      }),
  );
});

describe("examples/redis.ts", () => {
  afterEach(leave);

  itNeedsRedis("shares one session between two processes", async () => {
    const redis = await startRedis();
    try {
      const REDIS_URL = `redis://127.0.0.1:${redis.port}`;
      const [one, two] = await Promise.all([
        start("redis.ts", { REDIS_URL }),
        start("redis.ts", { REDIS_URL }),
      ]);
      const [here, there] = [browserAt(one), browserAt(two)];
      const { jar } = here;
      await here.get("/");
      const body = (await there.get("/", { jar })).body;
      assertStringIncludes(body, "<button>0</button>");
      const socket = await here.connect();
      const other = await there.connect("/", { jar });
      socket.emit("count");
      assertEquals(await here.event(socket, "count"), [1]);
      assertEquals(await there.event(other, "count"), [1]);
      const second = once(socket, "count");
      other.emit("count");
      assertEquals(await second, [2]);
      await leave();
    } finally {
      await redis.stop();
    }
  });
});

describe("examples/typed.ts", () => {
  afterEach(leave);

  it("keeps a cart", async () => {
    const ada = browserAt(await start("typed.ts"));
    assertEquals((await ada.get("/")).json.items, []);
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "add", "apple"), ["apple"]);
    assertEquals(await ada.event(socket, "added"), ["apple"]);
    assertEquals(await ada.ask(socket, "add", "bread"), ["apple", "bread"]);
    assertEquals((await ada.get("/")).json.items, ["apple", "bread"]);
    const eve = browserAt({ url: ada.url } as Program);
    assertEquals(await eve.ask(await eve.connect(), "add", "cheese"), []);
  });
});

describe("examples/namespaces.ts", () => {
  afterEach(leave);

  it("admits only staff to /staff, and every user to a room", async () => {
    const ada = browserAt(await start("namespaces.ts"));
    assertMatch((await ada.get("/")).body, /You are of the visitor/);
    const refused = await ada.connect("/staff").catch((error) => error);
    assertEquals(refused.message, "For the staff only");
    const room = await ada.connect("/room-1");
    assertEquals(await ada.event(room, "hello"), ["a visitor in /room-1"]);

    await ada.get("/?staff=yes");
    const staff = await ada.connect("/staff");
    assertEquals(await ada.event(staff, "hello"), ["among the staff"]);
    const late = await ada.connect("/room-2");
    assertEquals(await ada.event(late, "hello"), ["a staff in /room-2"]);

    const eve = browserAt({ url: ada.url } as Program);
    const guest = await eve.connect("/room-1");
    assertEquals(await eve.event(guest, "hello"), ["a guest in /room-1"]);
  });
});

describe("examples/client.ts", () => {
  afterEach(leave);

  it("hands out a page, and the client in JavaScript", async () => {
    const ada = browserAt(await start("client.ts"));
    assertStringIncludes((await ada.get("/")).body, 'from "/client.js"');
    const script = await ada.get("/client.js");
    assertMatch(script.headers["content-type"] ?? "", /javascript/);
    const dir = mkdtempSync(join(tmpdir(), "client-"));
    try {
      // alone in a directory: it can import nothing
      const file = join(dir, "client.mjs");
      writeFileSync(file, script.body);
      const module = await import(pathToFileURL(file).href);
      assertEquals(typeof module.followSession, "function");
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("sends the events that the client follows", async () => {
    const ada = browserAt(await start("client.ts"));
    await ada.get("/");
    const socket = ada.socket("/", { auth: { "koa-io-session": 1 } });
    await ada.open(socket);
    assertEquals(await ada.event(socket, "session:none"), [{ client: true }]);
    assertEquals((await ada.post("/refresh")).status, 401);
    await ada.post("/login");
    assertEquals(await ada.event(socket, "session:start"), []);
    assertEquals(await ada.event(socket, "session:view"), [{ user: "ada" }]);
    assertEquals((await ada.post("/refresh")).status, 204);
    await ada.post("/logout");
    assertEquals(await ada.event(socket, "session:end"), [{
      reason: "logout",
    }]);
    await until(() => !socket.connected, "the socket closed");
  });
});
