import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { SessionStore } from "@koa-io/session";
import { resolveOptions } from "../../src/options/resolve.ts";

function namesRead(given: Record<string, unknown>): string[] {
  const names = new Set<string>();
  resolveOptions(
    new Proxy(given, {
      get(target, name, receiver) {
        names.add(String(name));
        return Reflect.get(target, name, receiver);
      },
    }),
  );
  return [...names].sort();
}

class ContextStore {
  get() {}
  set() {}
  destroy() {}
}

/** Options of the bridge that neither koa-session nor a cookie has. */
const own = {
  store: new SessionStore(),
  externalKey: { get() {}, set() {} },
  autoCleanup: true,
  autoCleanupMs: 1_000,
  clientKey: "client",
  clientMaxAge: 1_000,
  clientAlwaysRoll: true,
  appKeys: ["secret"],
  onSessionEnd: { disconnectAfter: 0, event: "end" },
  onConflict: "last",
  absoluteMaxAge: 1_000,
  touchInterval: false,
  user: () => undefined,
  onUserChange: "keep",
  maxSessions: 3,
  meta: () => ({}),
  origin: "any",
  lockTimeout: 1_000,
  storeTimeout: 1_000,
  reconcileInterval: 1_000,
  maxEntries: 10,
  allowRndAppKeys: true,
  view: () => ({}),
  expiringNotice: 1_000,
  schema: undefined,
  onInvalid: "end",
};

describe("resolveOptions()", () => {
  it("reads the same options whatever is given, so that none is forwarded by accident", () => {
    const names = namesRead({});
    // the former spelling counts only where the other is left out
    const withMaxAge = names.filter((name) => name !== "maxage");
    assertEquals(namesRead({ store: own.store }), names);
    assertEquals(namesRead({ ContextStore }), names);
    assertEquals(namesRead({ ...own, maxAge: 1_000 }), withMaxAge);
  });

  it("forwards no option of the bridge", () => {
    const { native, clientCookie } = resolveOptions(own);
    assertEquals(Object.keys(native).sort(), [
      "genid",
      "key",
      "maxAge",
      "rolling",
      "signed",
    ]);
    assertEquals(Object.keys(clientCookie).sort(), [
      "httpOnly",
      "maxAge",
      "overwrite",
      "signed",
    ]);
  });

  it("forwards cookie attributes to koa-session and the client cookie, unknown ones too", () => {
    const attributes = {
      httpOnly: false,
      secure: true,
      overwrite: false,
      domain: "example.com",
      path: "/app",
      sameSite: "lax",
      priority: "high",
    };
    const { native, clientCookie } = resolveOptions({
      ...attributes,
      signed: false,
      maxAge: 1_000,
      clientMaxAge: 2_000,
      partitioned: null,
    });
    const { key: _key, genid: _genid, rolling: _rolling, ...rest } = native;
    assertEquals(rest, { ...attributes, signed: false, maxAge: 1_000 });
    assertEquals(clientCookie as unknown, {
      ...attributes,
      signed: false,
      maxAge: 2_000,
    });
  });

  it("forwards koa-session's own options to koa-session alone", () => {
    const options = {
      prefix: "a",
      autoCommit: false,
      renew: true,
      valid: () => true,
      encode: () => "",
      decode: () => ({}),
    };
    const { native, clientCookie } = resolveOptions({
      ...options,
      beforeSave: () => {},
      maxage: 1_000,
      maxAge: 2_000,
    });
    for (const [name, value] of Object.entries(options)) {
      assertEquals(native[name], value);
      assertEquals(name in clientCookie, false);
    }
    // wrapped: it may return no promise
    assertEquals(typeof native.beforeSave, "function");
    assertEquals("beforeSave" in clientCookie, false);
    assertEquals("maxage" in native || "maxage" in clientCookie, false);
  });
});
