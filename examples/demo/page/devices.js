/** The list of devices that the user is logged in on. */

const BROWSER = /(Firefox|Edg|OPR|Chrome|Version)\/(\d+)/;
const NAMES = { Edg: "Edge", OPR: "Opera", Version: "Safari" };

export class Devices {
  #end;

  /** @param end called with the handle of the device to end */
  constructor(end) {
    this.#end = end;
  }

  show(devices) {
    const others = devices.filter(({ current }) => !current);
    $("#active").hidden = devices.length === 0;
    $("#end-others").disabled = others.length === 0;
    $("#devices").textContent = devices.length === 1
      ? "logged in here only"
      : `logged in on ${devices.length} devices`;
    const own = devices.filter(({ current }) => current);
    $("#device-list").replaceChildren(
      ...[...own, ...others].map((device) => this.#row(device)),
    );
  }

  #row({ handle, current, browser, host, lastUsed }) {
    const row = document.createElement("li");
    const label = document.createElement("span");
    label.textContent = nameOf(browser) + (host && ` at ${host}`);
    const use = document.createElement("small");
    use.textContent = current
      ? "this device"
      : `used at ${new Date(lastUsed).toLocaleTimeString("en-GB")}`;
    row.append(label, use);
    if (!current) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "pill";
      button.textContent = "End";
      button.addEventListener("click", () => this.#end(handle));
      row.append(button);
    }
    return row;
  }
}

/** As in "Chrome 130"; a text of the client, shown as text only. */
function nameOf(browser) {
  const [, name, version] = browser.match(BROWSER) ?? [];
  return name ? `${NAMES[name] ?? name} ${version}` : browser || "unknown";
}

function $(selector) {
  return document.querySelector(selector);
}
