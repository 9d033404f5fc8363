/**
 * The options about the user that a session belongs to.
 *
 * @module
 */
import type { ResolvedOptions } from "../api/options.ts";
import type { OptionReader } from "./option_reader.ts";

const EXCEED = ["oldest", "refuse"] as const;
const LIMIT = "an integer of at least 1";

/** Reads `user` and the options that depend on it. */
export function readUserOptions(
  o: OptionReader,
): Pick<ResolvedOptions, "user" | "onUserChange" | "maxSessions" | "meta"> {
  const user = o.callable("user") as ResolvedOptions["user"];
  const onUserChange = o.oneOf("onUserChange", ["reconnect", "follow", "keep"]);
  const maxSessions = readMaxSessions(o);
  const meta = o.callable("meta") as ResolvedOptions["meta"];
  if (user) {
    return {
      user,
      onUserChange: onUserChange ?? "reconnect",
      maxSessions,
      meta,
    };
  }
  for (const name of ["onUserChange", "maxSessions"]) {
    const value = o.get(name);
    if (value !== undefined) {
      o.wrong(name, "left out where the option user is not set", value);
    }
  }
  return { user, onUserChange: undefined, maxSessions: undefined, meta };
}

function readMaxSessions(o: OptionReader): ResolvedOptions["maxSessions"] {
  const value = o.get("maxSessions");
  if (value === undefined) return undefined;
  const isLimit = typeof value === "object" && !Array.isArray(value);
  if (typeof value !== "number" && !isLimit) {
    o.wrong("maxSessions", `${LIMIT} or { max, exceed }`, value);
  }
  const { max, exceed } = isLimit
    ? value as { max?: unknown; exceed?: unknown }
    : { max: value, exceed: undefined };
  const name = isLimit ? "maxSessions.max" : "maxSessions";
  return Object.freeze({
    max: o.number(name, LIMIT, max, (max) => Number.isInteger(max) && max >= 1),
    exceed: readExceed(o, exceed),
  });
}

function readExceed(o: OptionReader, value: unknown): "oldest" | "refuse" {
  const exceed = EXCEED.find((one) => one === (value ?? "oldest"));
  return exceed ?? o.wrong(
    "maxSessions.exceed",
    EXCEED.map((one) => JSON.stringify(one)).join(" or "),
    value,
    typeof value === "string" ? RangeError : TypeError,
  );
}
