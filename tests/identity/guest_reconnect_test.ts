/** Rule 8 of "Which session a client has": a guest whose client has a live session. */
import { assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import type { TestSession } from "../support/app.ts";
import { CLIENT_KEY, KEY } from "../support/cookies.ts";
import { onEachDeployment } from "../support/identity/deployments.ts";
import { pair } from "../support/identity/jars.ts";
import { entered, openTab, whoami } from "../support/identity/tabs.ts";
import type { World } from "../support/identity/world.ts";
import { once } from "../support/wait.ts";

const user = (session: TestSession) => session.user;

/** When a guest's first connection is closed, in ms, and what a busy machine takes on top. */
const FIRST = 1_000;
const SLACK = 1_500;

/** A browser with a session, and a tab whose handshake had the client cookie only. */
async function early(world: World) {
  const ada = world.visitor();
  await ada.here.post("/session", { json: { user: "ada" } });
  await ada.here.get("/");
  const jar = pair(undefined, ada.jar);
  const tab = await openTab(ada.there, { jar });
  return { ada, jar, tab, since: Date.now() };
}

for (const [kind, options] of [["with", { user }], ["without", {}]] as const) {
  onEachDeployment(
    `a guest whose client has a session, ${kind} the option user`,
    ({ start, it }) => {
      it("is sent session:none, closed at the transport after 1 s, and comes back by its cookie", async () => {
        const world = await start(options);
        const { ada, jar, tab, since } = await early(world);
        assertEquals(await ada.there.event(tab, "session:none"), [
          { client: true },
        ]);
        assertEquals(await whoami(ada.there, tab), {
          clientId: ada.jar.get(CLIENT_KEY),
        });
        // another one, which joins the wait of the first
        const silent = await ada.there.connect("/", { jar });
        const gone = once(silent, "disconnect");
        // the browser has its cookie now
        for (const name of ada.jar.names()) jar.set(name, ada.jar.get(name)!);
        const closed = once(tab, "disconnect");
        assertEquals((await closed)[0], "transport close");
        const after = Date.now() - since;
        // the wait begins at the handshake, which is over before it was noticed here
        assertGreaterOrEqual(after, FIRST - 100);
        assertLess(after, FIRST + SLACK);
        assertEquals((await gone)[0], "transport close");
        assertEquals(ada.there.received(silent), []);
        await entered(ada.there, tab, ada.jar.get(KEY));
        assertEquals(await ada.there.ask(tab, "get"), { user: "ada" });
      });
    },
  );
}
