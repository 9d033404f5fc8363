/** The list of events, the newest first. */

const KEPT = 100;
/** Counts within this interval share a row, ms. */
const TOGETHER = 600;

export class Timeline {
  #list = document.querySelector("#timeline");
  #tab;
  #burst;

  constructor(tab) {
    this.#tab = tab;
  }

  /** Adds a row. */
  add(name, text, kind = "") {
    this.#burst = undefined;
    this.#row(name, kind).textContent = text;
  }

  /** Adds a count; consecutive counts share one row with a sum. */
  count({ value, via, tab }) {
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
    burst.cell.textContent = http + socket === 1
      ? `${value} by ${via}, ${from}`
      : `${burst.value} after ${http} over HTTP and ${socket} over the socket, ${from}`;
  }

  clear() {
    this.#burst = undefined;
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
