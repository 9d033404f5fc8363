/** The latest latencies, on a logarithmic scale. */

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 300;
const WIDTH = 480;
const HEIGHT = 130;
const LEFT = 38;
const FLOOR = 0.5;
const CEILING = 2_000;
const GRID = [1, 10, 100, 1_000];

export class Plot {
  #svg = document.querySelector("#plot");
  #points = [];
  #due = false;

  constructor() {
    this.#draw();
  }

  /** Adds a latency, in ms. */
  add(way, ms) {
    this.#points.push({ way, ms });
    if (this.#points.length > KEPT) this.#points.shift();
    if (this.#due) return;
    // the hammer adds 200 at once: draw once per frame
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const step = (WIDTH - LEFT - 12) / Math.max(this.#points.length - 1, 39);
    const circles = this.#points.map(({ way, ms }, i) =>
      element("circle", {
        class: way,
        cx: LEFT + 6 + i * step,
        cy: height(ms),
        r: 3,
      })
    );
    this.#svg.replaceChildren(...GRID.flatMap(gridLine), ...circles);
    const texts = ["http", "socket"].map((way) => {
      const text = summary(this.#points.filter((point) => point.way === way));
      document.querySelector(`#${way}-times`).textContent = text;
      return `${way}: ${text}`;
    });
    this.#svg.setAttribute("aria-label", `Latency. ${texts.join("; ")}`);
  }
}

function gridLine(ms) {
  const y = height(ms);
  const label = element("text", {
    x: LEFT - 6,
    y: y + 4,
    "text-anchor": "end",
  });
  label.textContent = ms;
  return [element("line", { x1: LEFT, x2: WIDTH, y1: y, y2: y }), label];
}

function height(ms) {
  const clamped = Math.min(Math.max(ms, FLOOR), CEILING);
  const share = Math.log(clamped / FLOOR) / Math.log(CEILING / FLOOR);
  return HEIGHT - 8 - share * (HEIGHT - 16);
}

function summary(points) {
  if (points.length === 0) return "–";
  const sorted = points.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  return `median ${round(at(0.5))}, p95 ${round(at(0.95))}`;
}

function round(ms) {
  return ms < 10 ? ms.toFixed(1) : String(Math.round(ms));
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  return made;
}
