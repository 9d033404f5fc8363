/** The parts of the page that show the session. */

const ALERT_MS = 5_000;
const IDS = ["clientId", "sessionId"];

export class View {
  #round = 0;
  #count;
  #user;
  #busy = false;
  #alerting;
  #devices;

  /** @param devices shows the list of devices */
  constructor(tab, devices) {
    this.#devices = devices;
    $("#tab").textContent = tab;
    const search = new URLSearchParams(location.search);
    document.documentElement.toggleAttribute("data-pane", search.has("pane"));
    $("#host").textContent = location.host;
    this.#render();
  }

  connected(is, why) {
    $("#link").dataset.state = is ? "on" : "off";
    $("#link").textContent = is ? "connected" : why ?? "disconnected";
  }

  /** Numbers the look-ups, so that the late result of an old one is not shown. */
  nextRound() {
    return ++this.#round;
  }

  /** Shows the two results; returns false if a newer look-up has started. */
  show(round, { http, socket, devices }) {
    if (round !== this.#round) return false;
    const sides = { http, socket };
    for (const [side, ids] of Object.entries(sides)) {
      for (const id of IDS) {
        $(`#${side}-${id.slice(0, -2)}`).textContent = ids[id] ?? "–";
      }
    }
    // the buttons use HTTP: they are enabled once both sides are logged in
    this.#user = http.user;
    this.#devices.show(devices);
    if (http.user !== undefined) this.count(socket.count ?? http.count);
    this.#render();
    return true;
  }

  /** Within a session the counter only rises: a lower value is outdated. */
  count(value) {
    this.#count = Math.max(this.#count ?? 0, value);
    $("#count").textContent = this.#count;
  }

  /** The next count may be lower. */
  forgetCount() {
    this.#count = undefined;
  }

  newSession() {
    this.forgetCount();
    this.#user = undefined;
    this.#render();
  }

  /** Runs the hammer; its button is disabled until it has finished. */
  async hammering(run) {
    this.#busy = true;
    delete $("#result").dataset.state;
    $("#result").textContent = "…";
    this.#render();
    try {
      await run();
    } finally {
      this.#busy = false;
      if (!$("#result").dataset.state) $("#result").textContent = "";
      this.#render();
    }
  }

  /** Shows how many of the counts that were sent at once are in the session. */
  tenCounted(way, { sent, counted, failed }) {
    const output = $(`[data-result=${way}]`);
    output.dataset.state = counted >= sent ? "good" : "bad";
    output.textContent = `${sent} sent, ${counted} counted${
      failed ? `, ${failed} failed` : ""
    }.`;
  }

  progress(way, share) {
    const bar = way === "socket" ? "#socket-bar" : "#http-bar";
    $(bar).style.setProperty("--done", `${100 * share}%`);
  }

  result({ wanted, counted, lost, failed, added, ms }) {
    const good = counted === wanted && added >= wanted;
    $("#result").dataset.state = good ? "good" : "bad";
    const failures = failed ? `, ${failed} failed` : "";
    const others = added > wanted ? `, ${added - wanted} from elsewhere` : "";
    $("#result").textContent =
      `${counted} of ${wanted} counted, ${lost} lost${failures}${others}, in ${ms} ms`;
  }

  alert(text) {
    clearTimeout(this.#alerting);
    $("#alert").textContent = text;
    $("#alert").hidden = false;
    this.#alerting = setTimeout(() => $("#alert").hidden = true, ALERT_MS);
  }

  #render() {
    const guest = this.#user === undefined;
    const focused = document.activeElement;
    $("#guest").hidden = !guest;
    $("#hint").hidden = !guest;
    $("#account").hidden = guest;
    $("#user").textContent = this.#user ?? "";
    if (guest) this.#devices.show([]);
    if (guest) {
      $("#count").textContent = "–";
      for (const output of document.querySelectorAll("[data-result]")) {
        output.textContent = "";
      }
    }
    const counting = "[data-way], [data-ten], #measure";
    for (const button of document.querySelectorAll(counting)) {
      button.disabled = guest;
    }
    $("#hammer").disabled = guest || this.#busy;
    // keep the keyboard focus in this section of the page
    if (focused?.closest("#session") && focused.closest("[hidden]")) {
      (guest ? $("#name") : $("#logout")).focus();
    }
  }
}

function $(selector) {
  return document.querySelector(selector);
}
