/**
 * Shows the demo twice. Two hosts below `localhost` have cookies of their own,
 * as two browsers have; where they cannot be reached, it is two tabs of one.
 */

const { hostname, port, protocol } = location;
const TOP = "demo.localhost";
const HOSTS = [`one.${TOP}`, `two.${TOP}`];

const local = /^(127\.0\.0\.1|localhost|\[::1\])$/.test(hostname);

if (hostname === TOP) {
  show(
    HOSTS.map((host) => ({ src: `${at(host)}/?pane`, title: host })),
    "Two browsers: each has its own cookies. Log in as the same user in both, or as two.",
  );
} else if (local && await answers(at(TOP))) {
  location.replace(`${at(TOP)}/panes`);
} else {
  show(
    ["One tab", "Another tab"].map((title) => ({ src: "./?pane", title })),
    "Two tabs of one browser. For two browsers, open the demo in a private window too.",
  );
}

function at(host) {
  return `${protocol}//${host}${port && `:${port}`}`;
}

/** Whether this browser finds the host: not every one looks below `localhost`. */
async function answers(origin) {
  const options = { mode: "no-cors", signal: AbortSignal.timeout(2_000) };
  return await fetch(`${origin}/icon.svg`, options).then(
    () => true,
    () => false,
  );
}

function show(panes, about) {
  document.querySelector("#about").textContent = about;
  for (const { src, title } of panes) {
    const frame = document.createElement("iframe");
    Object.assign(frame, { src, title });
    document.body.append(frame);
  }
}
