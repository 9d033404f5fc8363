/** The main module: receives events of the server and passes them to the other modules. */
import { Api } from "./api.js";
import { Devices } from "./devices.js";
import { hammer, measure, ten } from "./hammer.js";
import { Plot } from "./plot.js";
import { setUpTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { View } from "./view.js";

/** Delay before another look-up when HTTP and socket differ, ms. */
const RETRY_MS = 100;

/** A random name for this tab. */
const tab = Math.random().toString(36).slice(2, 5);

const plot = new Plot();
const timeline = new Timeline(tab);
const view = new View(tab, new Devices(endDevice));
const api = new Api(tab, plot);
const { socket } = api;

/** Looks up the user over HTTP and the socket. Only the last look-up is shown. */
async function refresh(tries = 30) {
  const round = view.nextRound();
  try {
    const [http, overSocket, devices] = await Promise.all([
      api.get("me"),
      api.ask("me"),
      api.get("devices"),
    ]);
    if (!view.show(round, { http, socket: overSocket, devices })) return;
    // the socket can be in the session before the login's response has arrived
    if (http.sessionId !== overSocket.sessionId && tries > 0) {
      setTimeout(refresh, RETRY_MS, tries - 1);
    }
  } catch (error) {
    if (socket.connected) view.alert(error.message);
  }
}

let renewed = false;
/** Whether the server closes the socket so that it comes back with new cookies. */
let reconnects = false;
socket.on("connect", async () => {
  view.connected(true);
  timeline.add("connect", "the socket is open");
  // a WebSocket cannot set a cookie: after a restart of the server, an HTTP
  // request gets a client id, and a new socket presents it
  const { clientId } = await api.ask("me").catch(() => ({}));
  if (!clientId && !renewed) {
    renewed = true;
    await api.get("me").catch(() => {});
    return socket.disconnect().connect();
  }
  renewed = false;
  await refresh();
});
socket.on("disconnect", (reason) => {
  view.connected(false);
  if (reconnects) timeline.add("disconnect", "to come back with new cookies");
  else timeline.add("disconnect", reason, "bad");
  reconnects = false;
});
socket.on("connect_error", ({ message }) => view.connected(false, message));

socket.on("session:start", () => {
  timeline.add("session:start", "this socket is in a session");
  forgetCounts();
  refresh();
});
socket.on("session:none", () => view.newSession());
socket.on("session:end", ({ reason }) => {
  timeline.add("session:end", `reason: ${reason}`, "bad");
  view.newSession();
  refresh();
});
socket.on("session:rotated", ({ sockets }) => {
  timeline.add("session:rotated", `a new id, the sockets ${sockets}`);
  forgetCounts();
  // a socket that reconnects looks up the user then
  reconnects = sockets === "reconnect";
  if (!reconnects) refresh();
});
socket.on("counter", (event) => {
  timeline.count(event);
  view.count(event.value);
});
socket.on("conflict", () => {
  // the count may have become lower: the last write has won
  forgetCounts();
  refresh();
});
socket.on("devices", () => refresh());

function forgetCounts() {
  view.forgetCount();
  timeline.forgetCounts();
}

async function endDevice(handle) {
  try {
    await api.post("devices/end", { handle });
  } catch (error) {
    view.alert(error.message);
  }
}

/** Runs an action at each click, and shows its errors. */
function onClick(selector, action) {
  for (const button of document.querySelectorAll(selector)) {
    button.addEventListener("click", async () => {
      try {
        await action(button);
      } catch (error) {
        view.alert(error.message);
      }
    });
  }
}

document.querySelector("#login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = new FormData(event.target).get("name");
  try {
    await api.post("login", { name });
  } catch (error) {
    view.alert(error.message);
  }
});
onClick("#logout", () => api.post("logout"));
onClick("#everywhere", () => api.post("logout/everywhere"));
onClick("#end-others", () => api.post("devices/end-others"));
onClick("#regenerate", () => api.post("regenerate"));
onClick("[data-way]", ({ dataset }) => api.count(dataset.way));
onClick("[data-ten]", async ({ dataset }) => {
  await ten(api, view, dataset.ten);
  view.forgetCount();
  await refresh();
});
onClick("#measure", () => measure(api));
onClick("#hammer", () => view.hammering(() => hammer(api, view)));
onClick("#clear", () => timeline.clear());

setUpTheme();
socket.connect();
