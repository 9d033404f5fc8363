/** The list of events, the newest first. */

const KEPT = 100;
/** Counts within this interval share a row, ms. */
const TOGETHER = 600;

export class Timeline {
  #list = document.querySelector("#timeline");
  #tab;
  #burst;
  /** The counts that were heard since the session began, or got a new id. */
  #heard = new Set();
  #lost;

  constructor(tab) {
    this.#tab = tab;
  }

  /** Adds a row. */
  add(name, text, kind = "") {
    this.#burst = undefined;
    this.#lost = undefined;
    this.#row(name, kind).textContent = text;
  }

  /** Adds a count; consecutive counts share one row with a sum. */
  count({ value, via, tab }) {
    if (this.#heard.has(value)) this.#lose();
    this.#heard.add(value);
    const now = performance.now();
    const from = tab === this.#tab ? "this tab" : `tab ${tab ?? "?"}`;
    let burst = this.#burst;
    if (!burst || burst.from !== from || now - burst.last > TOGETHER) {
      const way = via === "socket.withSession" ? "socket" : "http";
      burst = { from, http: 0, socket: 0, cell: this.#row("counter", way) };
      this.#burst = burst;
    }
    burst.last = now;
    burst[via === "socket.withSession" ? "socket" : "http"]++;
    burst.value = Math.max(burst.value ?? 0, value);
    const { http, socket } = burst;
    if (http && socket) burst.cell.parentElement.className = "both";
    const ways = [
      http && `${http} over HTTP`,
      socket && `${socket} over the socket`,
    ];
    burst.cell.textContent = http + socket === 1
      ? `${value} by ${via}, ${from}`
      : `${burst.value} after ${ways.filter(Boolean).join(" and ")}, ${from}`;
  }

  /** The next count may be one that was heard. */
  forgetCounts() {
    this.#heard.clear();
  }

  /** Two counts had the same number: one increment is lost. Explains it, once for those that follow. */
  #lose() {
    const now = performance.now();
    let lost = this.#lost;
    if (!lost || now - lost.last > TOGETHER) {
      lost = { count: 0, cell: this.#row("conflict", "bad") };
      this.#lost = lost;
    }
    lost.last = now;
    const increments = ++lost.count === 1
      ? "1 increment is lost"
      : `${lost.count} increments are lost`;
    lost.cell.textContent =
      `${increments}: requests that ran at once read the same count from ctx.session, and the last write won. ctx.withSession takes turns.`;
  }

  clear() {
    this.#burst = undefined;
    this.#lost = undefined;
    this.#list.replaceChildren();
  }

  /** Makes a row and returns the cell for its text. */
  #row(name, kind) {
    const row = document.createElement("li");
    row.className = kind;
    const time = document.createElement("time");
    time.textContent = new Date().toLocaleTimeString("en-GB");
    const label = document.createElement("b");
    label.textContent = name;
    const cell = document.createElement("span");
    row.append(time, label, cell);
    this.#list.prepend(row);
    while (this.#list.children.length > KEPT) this.#list.lastChild.remove();
    return cell;
  }
}
