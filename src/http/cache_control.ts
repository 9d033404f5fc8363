/**
 * What the headers of a response permit to caches that serve several clients
 * (RFC 9111, RFC 9213).
 *
 * @module
 */
import type { ServerResponse } from "node:http";

/** A response whose headers are not sent yet. */
export type Headers = Pick<
  ServerResponse,
  "getHeader" | "setHeader" | "removeHeader"
>;

/** Directives by which a shared cache may serve the response without asking the server. */
const SHARED = /\b(?:public\b|s-maxage\b|max-age\s*=\s*"?0*[1-9])/i;
const PRIVATE = /(?:^|,)\s*private\s*(?:,|$)/i;
const NO_STORE = /(?:^|,)\s*no-store\s*(?:,|$)/i;
/** Lets caches that know it ignore `no-store`. */
const MUST_UNDERSTAND = /(?:^|,)\s*must-understand\s*(?:,|$)/i;
const QUOTED = /"(?:[^"\\]|\\.)*"/g;
/** One directive that addresses shared caches. */
const FOR_SHARED = /^\s*(?:public(?:[\s;]|$)|s-maxage\b)/i;

/** Fields that some shared caches obey instead of `Cache-Control`. */
const TARGETED = [
  "cdn-cache-control",
  "surrogate-control",
  "cloudflare-cdn-cache-control",
  "vercel-cdn-cache-control",
  "netlify-cdn-cache-control",
] as const;

/** Whether a shared cache may store the response and serve it without asking the server. */
export function isShared(headers: Headers): boolean {
  const control = textOf(headers, "cache-control");
  if (control === undefined || !isPrivate(control)) {
    if (control !== undefined && SHARED.test(control)) return true;
    const expires = headers.getHeader("expires");
    if (expires !== undefined && Date.parse(String(expires)) > Date.now()) {
      return true;
    }
  }
  for (const name of TARGETED) {
    const targeted = textOf(headers, name);
    if (
      targeted !== undefined && !isPrivate(targeted) && SHARED.test(targeted)
    ) return true;
  }
  return false;
}

/** Marks the response as one for a single client, unless it is marked already. */
export function makePrivate(headers: Headers): void {
  const control = textOf(headers, "cache-control");
  if (control === undefined || control.trim() === "") {
    headers.setHeader("Cache-Control", "private");
  } else if (!isPrivate(control)) {
    headers.setHeader("Cache-Control", `${control}, private`);
  }
}

/** Removes what permits shared caches to serve the response, and marks it as one for a single client. */
export function unshare(headers: Headers): void {
  const control = textOf(headers, "cache-control");
  if (control !== undefined) {
    const kept = control.split(",").filter((part) => !FOR_SHARED.test(part));
    headers.setHeader("Cache-Control", kept.join(",").trim());
  }
  for (const name of TARGETED) {
    if (headers.getHeader(name) !== undefined) {
      headers.setHeader(name, "no-store");
    }
  }
  makePrivate(headers);
}

function isPrivate(control: string): boolean {
  const text = control.includes('"') ? control.replace(QUOTED, '""') : control;
  return PRIVATE.test(text) ||
    NO_STORE.test(text) && !MUST_UNDERSTAND.test(text);
}

function textOf(headers: Headers, name: string): string | undefined {
  const value = headers.getHeader(name);
  return value === undefined || typeof value === "string"
    ? value
    : Array.isArray(value)
    ? value.join(", ")
    : String(value);
}
