import { assert, assertEquals, assertMatch } from "@std/assert";
import { afterEach, describe } from "@std/testing/bdd";
import { Browser } from "../support/browser.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { cookieNames } from "../support/handler.ts";
import { apachePath, itNeeds, nginxPath } from "../support/requires.ts";
import { sessionEvents } from "../support/routes.ts";
import { closeServers, type Stand, startServer } from "../support/server.ts";
import {
  type CachingProxy,
  startApache,
  startNginx,
} from "../support/shared_cache.ts";

/** What the server answers, and how often it was asked for each path. */
async function startSite(): Promise<
  { site: Stand; asked: Map<string, number> }
> {
  const asked = new Map<string, number>();
  const site = await startServer({}, ({ app, io }) => {
    sessionEvents(io);
    app.use((ctx) => {
      asked.set(ctx.path, (asked.get(ctx.path) ?? 0) + 1);
      switch (ctx.path) {
        // as koa-static with maxage sends it
        case "/app.css":
          ctx.set("cache-control", "max-age=3600");
          ctx.set("last-modified", new Date(0).toUTCString());
          ctx.body = "body {}";
          return;
        case "/public.js":
          ctx.set("cache-control", "public, max-age=3600, immutable");
          ctx.body = "export {};";
          return;
        // revalidated at each use
        case "/logo.svg":
          ctx.set("cache-control", "public, no-cache");
          ctx.set("etag", '"1"');
          ctx.status = 200;
          if (ctx.get("if-none-match") === '"1"') ctx.status = 304;
          else ctx.body = "<svg/>";
          return;
        // careless: a page of one user, made public
        case "/login":
          ctx.set("cache-control", "public, max-age=3600");
          ctx.session!.user = ctx.query.user!;
          break;
      }
      ctx.body = { user: ctx.session!.user ?? null, clientId: ctx.clientId };
    });
  });
  return { site, asked };
}

const FILES = ["/app.css", "/public.js", "/logo.svg"];

const proxies: [
  name: string,
  available: string | undefined,
  start: (target: string) => Promise<CachingProxy>,
][] = [
  ["Apache", apachePath(), startApache],
  ["nginx", nginxPath(), startNginx],
];

describe("a shared cache in front", () => {
  let proxy: CachingProxy | undefined;
  afterEach(async () => {
    await proxy?.close();
    proxy = undefined;
    await closeServers();
  });

  for (const [name, available, start] of proxies) {
    itNeeds(
      name,
      available,
      `of ${name} keeps public files, without an id`,
      async () => {
        const { site, asked } = await startSite();
        proxy = await start(site.url);
        for (const visitor of ["ada", "bob", "eve"]) {
          const browser = new Browser(proxy.url);
          for (const path of FILES) {
            const answer = await browser.get(path);
            assertEquals(answer.status, 200, `${path} for ${visitor}`);
            assertEquals(answer.setCookies, []);
          }
          const page = await browser.get("/");
          assertEquals(cookieNames(page), [CLIENT_KEY, `${CLIENT_KEY}.sig`]);
        }
        assertEquals(asked.get("/app.css"), 1);
        assertEquals(asked.get("/public.js"), 1);
        assertEquals(asked.get("/"), 3);
      },
    );

    itNeeds(
      name,
      available,
      `of ${name} keeps users apart, with pages that are public by mistake`,
      async () => {
        const { site, asked } = await startSite();
        proxy = await start(site.url);
        const warn = console.warn;
        console.warn = () => {};
        try {
          const [ada, bob] = [new Browser(proxy.url), new Browser(proxy.url)];
          await ada.get("/app.css");
          await bob.get("/app.css");
          const login = await ada.get("/login?user=ada");
          assertMatch(login.headers["cache-control"]!, /private/);
          assert(login.cookie(KEY));
          // the same address, as a form sends it
          assertEquals((await bob.get("/login?user=ada")).json.user, "ada");
          await bob.get("/login?user=bob");
          assertEquals(asked.get("/login"), 3);
          assertEquals((await ada.get("/")).json.user, "ada");
          assertEquals((await bob.get("/")).json.user, "bob");
          const ids = [ada, bob].map(({ jar }) => jar.get(CLIENT_KEY));
          assertEquals(new Set(ids).size, 2);
          const sids = [ada, bob].map(({ jar }) => jar.get(KEY));
          assertEquals(new Set(sids).size, 2);
          const socket = await site.browser(ada.jar).connect();
          assertEquals((await ada.ask(socket, "get")).user, "ada");
        } finally {
          console.warn = warn;
        }
      },
    );
  }
});
