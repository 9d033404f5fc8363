/**
 * The documents are correct: every program in them runs, is visited, and answers as its page describes. How blocks are marked: `support/docs/markdown.ts`.
 *
 * Shell blocks are not run, as they install from registries what is tested
 * here from the sources; the tasks that they name are looked up. The block for
 * nginx was tried by hand, as its page tells. Deno checks the types of programs in TypeScript; Node
 * gets the same programs without their types.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, describe, it } from "@std/testing/bdd";
import process from "node:process";
import { Browser } from "../support/browser.ts";
import {
  type Block,
  blocksOf,
  documentsIn,
  filesOf,
  isCode,
  readDocument,
} from "../support/docs/markdown.ts";
import {
  checkPrograms,
  runProgram,
  startProgram,
  stopPrograms,
} from "../support/docs/program.ts";
import {
  itNeedsRedis,
  type RedisServer,
  startRedis,
} from "../support/redis/server.ts";
import { Tab } from "../support/tabs.ts";
import { once, until } from "../support/wait.ts";

const browsers: Browser[] = [];

function browserAt(url: string): Browser {
  const browser = new Browser(url);
  browsers.push(browser);
  return browser;
}

async function leave(): Promise<void> {
  await Promise.all(browsers.splice(0).map((browser) => browser.close()));
  await stopPrograms();
}

/** Waits until the server answers a tab so, which may have to connect again first. */
async function answers(
  { client }: Tab,
  event: string,
  expected: unknown,
): Promise<void> {
  await until(
    async () =>
      client.connected &&
      await client.timeout(500).emitWithAck(event).catch(() => {}) === expected,
    `${event}: ${expected}`,
  );
}

const form = {
  headers: { "content-type": "application/x-www-form-urlencoded" },
};

function filesIn(path: string): Record<string, string> {
  return filesOf(blocksOf(path));
}

describe("getting-started.md", () => {
  afterEach(leave);
  const files = filesIn("docs/getting-started.md");

  for (const entry of ["server.ts", "server.js"]) {
    it(`has a ${entry} with a login`, async () => {
      const { url } = await startProgram(files, entry);
      const ada = browserAt(url);
      assertEquals((await ada.get("/")).body, files["page.html"]);
      const guest = await ada.connect();
      assertEquals(await ada.ask(guest, "click"), "Log in first");

      const left = once(guest, "disconnect");
      assertEquals((await ada.post("/login", form)).status, 302);
      // it comes back with the new cookies
      assertEquals((await left)[0], "transport close");
      const [first, second] = [await ada.connect(), await ada.connect()];
      const text = "somebody clicked 1 times";
      assertEquals(await ada.ask(first, "click"), text);
      assertEquals(await ada.event(second, "clicked"), [text]);
      const eve = browserAt(url);
      const outside = await eve.connect();
      assertEquals(await eve.ask(outside, "click"), "Log in first");

      const closed = once(first, "disconnect");
      await ada.post("/logout");
      const ended = [{ reason: "logout" }];
      assertEquals(await ada.event(second, "session:end"), ended);
      assertEquals((await closed)[0], "transport close");
      const back = await ada.connect();
      assertEquals(await ada.ask(back, "click"), "Log in first");
    });
  }

  it("logs out everywhere", async () => {
    const { url } = await startProgram(files, "server.ts");
    const [laptop, phone] = [browserAt(url), browserAt(url)];
    assertEquals((await laptop.get("/devices")).status, 404);
    await laptop.post("/login", form);
    await phone.post("/login", form);
    assertEquals((await laptop.get("/devices")).json.length, 2);
    const socket = await phone.connect();
    assertEquals((await laptop.post("/logout-others")).json, { ended: 1 });
    const ended = [{ reason: "revoked" }];
    assertEquals(await phone.event(socket, "session:end"), ended);
    assertEquals((await laptop.get("/devices")).json.length, 1);
  });
});

describe("passport.md", () => {
  afterEach(leave);
  const files = filesIn("docs/passport.md");
  const logIn = (browser: Browser, password = "secret") =>
    browser.post("/login", { json: { username: "ada", password } });

  it("logs in and out in both tabs, without a reload", async () => {
    const program = await startProgram(files, "server.js");
    const ada = browserAt(program.url);
    assertStringIncludes((await ada.get("/")).body, "<form");
    const tabs = [await Tab.open(ada), await Tab.open(ada)];
    const show = (user: string) =>
      Promise.all(tabs.map((tab) => answers(tab, "whoami", user)));
    await show("a guest");
    assertEquals((await logIn(ada, "wrong")).status, 302);
    await show("a guest");
    assertEquals((await logIn(ada)).headers.location, "/");
    await show("ada");
    await program.printed("undefined -> ada");
    await ada.post("/logout");
    await show("a guest");
    await program.printed("ada -> undefined");
    for (const { notices } of tabs) {
      assert(JSON.stringify(notices).includes('"reason":"logout"'));
    }
  });

  it("keeps out what was planted", async () => {
    const { url } = await startProgram(files, "server.js");
    const eve = browserAt(url);
    await eve.get("/");
    const spy = await Tab.open(eve);
    const ada = new Browser(url, eve.jar.clone());
    browsers.push(ada);
    await logIn(ada);
    const tab = await Tab.open(ada);
    await answers(tab, "whoami", "ada");
    await answers(spy, "whoami", "a guest");
    const again = await Tab.open(eve);
    await answers(again, "whoami", "a guest");
  });
});

describe("how-it-works.md", () => {
  afterEach(leave);

  it("keeps what two requests put into one cart", async () => {
    const files = filesIn("docs/how-it-works.md");
    const program = await startProgram(files, "server.js");
    const ada = browserAt(program.url);
    await ada.get("/?item=apple");
    await ada.get("/?item=bread");
    await Promise.all([ada.get("/?item=cheese"), ada.get("/?item=dates")]);
    await program.printed("conflict: cart");
    const { cart } = (await ada.get("/?item=eggs")).json;
    assertEquals(cart.slice().sort(), [
      "apple",
      "bread",
      "cheese",
      "dates",
      "eggs",
    ]);
  });
});

describe("security.md", () => {
  afterEach(leave);
  const files = filesIn("docs/security.md");
  const proxied = {
    headers: { "x-forwarded-proto": "https", "x-forwarded-for": "192.0.2.1" },
  };

  it("does not start without keys", async () => {
    const error = await runProgram(files, "server.ts", { APP_KEYS: "" })
      .then(() => "", String);
    assertStringIncludes(error, "APP_KEYS is not set");
  });

  it("sets the cookies that it describes", async () => {
    const program = await startProgram(files, "server.ts", {
      APP_KEYS: "new,old",
    });
    const ada = browserAt(program.url);
    const answer = await ada.post("/login", proxied);
    assertEquals(answer.status, 200);
    for (const name of ["__Host-app", "__Host-app.cid"]) {
      const { attributes } = answer.cookie(name)!;
      assertEquals(
        [attributes.path, attributes.samesite, attributes.domain],
        ["/", "lax", undefined],
      );
      assert("secure" in attributes && "httponly" in attributes, name);
    }
    assert(!program.output().includes("error "), program.output());
  });

  it("takes sockets from its own pages only, and ends the others at a change of password", async () => {
    const { url } = await startProgram(files, "server.ts", { APP_KEYS: "key" });
    const [here, there] = [browserAt(url), browserAt(url)];
    await here.post("/login", proxied);
    await there.post("/login", proxied);
    const foreign = { ...proxied.headers, origin: "https://evil.example" };
    assertEquals(await there.upgrade(foreign), 400);
    const own = { ...proxied.headers, origin: "https://app.example.com" };
    const socket = await there.connect("/", { headers: own });
    await here.post("/password", proxied);
    const ended = [{ reason: "revoked" }];
    assertEquals(await there.event(socket, "session:end"), ended);
  });
});

describe("migrating.md", () => {
  afterEach(leave);

  it("has a program of 2.2.0 that still runs", async () => {
    const files = filesIn("docs/migrating.md");
    const program = await startProgram(files, "server.js");
    const ada = browserAt(program.url);
    const guest = await ada.connect();
    assertEquals(await ada.ask(guest, "session:get"), {
      ok: false,
      error: "Session missing",
    });
    await ada.get("/api/session");
    await program.printed("sessionStart 24 24");
    assertEquals((await ada.get("/api/session")).json, {
      ok: true,
      sessionId: ada.jar.get("app.sid"),
      session: { httpCount: 2 },
    });
    const socket = await ada.connect();
    assertEquals(await ada.ask(socket, "session:get"), {
      ok: true,
      session: { httpCount: 2 },
    });
    await ada.get("/api/session?reset=1");
    await program.printed("sessionEnd logout");
  });
});

describe("many-machines.md", () => {
  let redis: RedisServer | undefined;
  afterEach(async () => {
    await leave();
    await redis?.stop();
  });

  itNeedsRedis("is one session on two processes", async () => {
    redis = await startRedis();
    const files = filesIn("docs/many-machines.md");
    const env = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    const [one, two] = await Promise.all([
      startProgram(files, "server.ts", env),
      startProgram(files, "server.ts", env),
    ]);
    const [here, there] = [browserAt(one.url), browserAt(two.url)];
    await here.get("/");
    const [near, far] = [
      await here.connect(),
      await there.connect("/", { jar: here.jar }),
    ];
    const counted = Array.from({ length: 20 }, (_, i) => {
      return i % 2 ? here.ask(near, "count") : there.ask(far, "count");
    });
    assertEquals(
      (await Promise.all(counted)).sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    assertEquals((await there.get("/", { jar: here.jar })).json.count, 20);
    await here.get("/logout");
    assertEquals(await there.event(far, "session:end"), [{
      reason: "logout",
    }]);
    assertEquals(await there.ask(far, "count"), "no session");
  });
});

describe("the documents", () => {
  const documents = ["README.md", ...documentsIn("docs")];
  const blocks = documents.flatMap(blocksOf);

  for (const block of blocks.filter((one) => isCode(one) && isAlone(one))) {
    const { language, text, place } = block;
    it(`have a block that runs alone: ${place}`, async () => {
      const entry = `block.${language}`;
      await runProgram({ [entry]: text }, entry);
    });
  }

  // blocks that stand alone are type-checked by `deno test --doc`
  if (process.versions.deno) {
    it("have programs that compile", async () => {
      const programs: Record<string, string> = {};
      for (const path of documents) {
        for (const [name, text] of Object.entries(filesIn(path))) {
          const unique = path.replace(/\W/g, "_") + "_" + name;
          if (name.endsWith(".ts")) programs[unique] = text;
        }
      }
      assertEquals(Object.keys(programs).length, 4);
      await checkPrograms(programs);
    });
  }

  it("have no code that is not run", () => {
    const started = ["server.ts", "server.js"];
    const left = blocks.filter(isCode).filter((block) => {
      const { file, in: whole } = block.marks;
      return !isAlone(block) && !started.includes(file ?? whole ?? "");
    });
    assertEquals(left.map(({ place }) => place), []);
  });

  if (process.versions.deno) {
    it("name tasks that there are", () => {
      const { tasks } = JSON.parse(readDocument("deno.json"));
      for (const { text, place } of blocks) {
        for (const [, name] of text.matchAll(/deno task ([\w:]+)/g)) {
          assert(name! in tasks, `${place}: ${name}`);
        }
      }
    });
  }

  if (process.versions.deno) {
    it("name tests that there are", () => {
      for (const path of ["SECURITY.md", "ARCHITECTURE.md"]) {
        const named = readDocument(path).matchAll(/`(tests\/[\w/]+\.ts)`/g);
        for (const [, test] of named) {
          assert(readDocument(test!).length > 0, `${path}: ${test}`);
        }
      }
    });
  }

  it("have no block in a language that is not known here", () => {
    const known = ["ts", "js", "sh", "html", "nginx", "sql", "mermaid"];
    const unknown = blocks.filter(({ language }) => !known.includes(language));
    assertEquals(unknown.map(({ place }) => place), []);
  });
});

/** Whether a block is neither part of a larger program nor left alone by `deno test --doc`. */
function isAlone({ marks }: Block): boolean {
  return !("ignore" in marks || "file" in marks || "in" in marks);
}
