/** Our cookies are Koa's cookies, byte for byte, in both directions. */
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import fc from "fast-check";
// @ts-types="@types/keygrip"
import Keygrip from "keygrip";
// @ts-types="@types/koa"
import Koa from "koa";
import { IdCookie } from "../../src/identity/id_cookie.ts";
import type { KoaContext } from "../../src/api/koa.ts";

/** `app.keys`, as the application may have them. */
type Keys = string[] | Keygrip;

function contextOf(keys: Keys, cookie = ""): KoaContext {
  const app = new Koa();
  app.keys = keys as string[];
  const req = new IncomingMessage(new Socket());
  if (cookie) req.headers.cookie = cookie;
  return app.createContext(req, new ServerResponse(req)) as never;
}

function sent(ctx: KoaContext): string[] {
  return [ctx.res.getHeader("set-cookie") ?? []].flat() as string[];
}

/** What a browser sends back, between two cookies of others, with names that no test makes up. */
function returned(lines: readonly string[]): string {
  const pairs = lines.map((line) => line.split(";")[0]);
  return ["cookie-of-others=1", ...pairs, "cookie-at-the-end=2"].join("; ");
}

const name = fc.stringMatching(/^[\w!#$%&'*+.^`|~-]{1,12}$/);
const id = fc.stringMatching(/^[\w!#$&'()*+./:<=>?@[\]^`{|}~-]{25,60}$/);
const secrets = fc.uniqueArray(fc.string({ minLength: 1 }), {
  minLength: 1,
  maxLength: 3,
});
const keys: fc.Arbitrary<Keys> = fc.oneof(
  secrets,
  secrets.map((list) => new Keygrip(list)),
  secrets.map((list) => new Keygrip(list, "sha256", "hex")),
);
const RUNS = { numRuns: 300 };

describe("IdCookie", () => {
  it("reads what Koa signed, and Koa what it sends", () => {
    fc.assert(
      fc.property(name, id, keys, (name, id, keys) => {
        const koa = contextOf(keys);
        koa.cookies.set(name, id, { signed: true });
        const ctx = contextOf(keys, returned(sent(koa)));
        const came = new IdCookie(name, true).read(ctx);
        assertEquals(came?.id, id);
        assertEquals(sent(ctx), []);
        const ours = contextOf(keys);
        new IdCookie(name, true).write(ours, id, { signed: true }, came);
        assertEquals(sent(ours), sent(koa));
        const back = contextOf(keys, returned(sent(ours)));
        assertEquals(back.cookies.get(name, { signed: true }), id);
      }),
      RUNS,
    );
  });

  it("repeats within a second what Koa writes, for each id, secure or not", () => {
    const signing = ["a key"];
    const options = Object.freeze({
      signed: true,
      maxAge: 5_000_000,
      sameSite: "lax",
      path: "/app",
    });
    const cookie = new IdCookie("client", true);
    const ended = /expires=[^;]+/g;
    for (const secure of [false, true, false]) {
      for (const [i, others] of [[], ["other=1"], [], []].entries()) {
        const id = `an-id-of-this-test-number-${i}-${secure}`;
        const koa = contextOf(signing);
        const ours = contextOf(signing);
        for (const ctx of [koa, ours]) {
          Object.assign(ctx.cookies, { secure });
          if (others.length > 0) ctx.res.setHeader("Set-Cookie", others);
        }
        koa.cookies.set("client", id, options);
        const came = cookie.read(contextOf(signing, returned(sent(koa))));
        cookie.write(ours, id, options, came);
        const lines = (ctx: KoaContext) =>
          sent(ctx).map((line) => line.replace(ended, "expires"));
        assertEquals(lines(ours), lines(koa));
        // the cookie of this response is replaced by Koa, where `overwrite` says so
        cookie.write(ours, id, { ...options, overwrite: true }, came);
        assertEquals(lines(ours), lines(koa));
      }
    }
  });

  it("leaves a cookie to a set of the response's own", () => {
    const options = Object.freeze({ signed: true, maxAge: 5_000_000 });
    const cookie = new IdCookie("client", true);
    const came = { id: "an-id-of-this-test-number-1", signature: "a" };
    cookie.write(contextOf(["a key"]), came.id, options, came);
    const ctx = contextOf(["a key"]);
    Object.assign(ctx.cookies, { set: () => ctx.cookies });
    cookie.write(ctx, came.id, options, came);
    assertEquals(sent(ctx), []);
  });

  it("accepts a cookie of an older key as Koa does, and marks it for renewal", () => {
    fc.assert(
      fc.property(
        name,
        id,
        secrets,
        fc.string({ minLength: 1 }),
        fc.boolean(),
        (name, id, old, fresh, own) => {
          fc.pre(!old.includes(fresh));
          const ring = (keys: string[]) =>
            own ? new Keygrip(keys, "sha256", "hex") : keys;
          const koa = contextOf(ring(old));
          koa.cookies.set(name, id, { signed: true });
          const cookie = returned(sent(koa));
          const ours = contextOf(ring([fresh, ...old]), cookie);
          const theirs = contextOf(ring([fresh, ...old]), cookie);
          const came = new IdCookie(name, true).read(ours);
          assertEquals(came, { id, signature: undefined, outdated: true });
          assertEquals(theirs.cookies.get(name, { signed: true }), id);
          assertEquals(sent(ours), []);
        },
      ),
      RUNS,
    );
  });

  it("refuses what Koa refuses: any other value, signature or key", () => {
    fc.assert(
      fc.property(
        name,
        id,
        id,
        keys,
        secrets,
        (name, id, other, keys, strangers) => {
          fc.pre(id !== other);
          const koa = contextOf(keys);
          koa.cookies.set(name, id, { signed: true });
          const forged = returned(sent(koa)).replace(id, () => other);
          assertEquals(
            new IdCookie(name, true).read(contextOf(keys, forged)),
            undefined,
          );
          const short = returned(sent(koa)).replace(
            /.; cookie-at/,
            "; cookie-at",
          );
          assertEquals(
            new IdCookie(name, true).read(contextOf(keys, short)),
            undefined,
          );
          const foreign = contextOf(
            strangers.map((key) => `${key} of a stranger`),
            returned(sent(koa)),
          );
          assertEquals(new IdCookie(name, true).read(foreign), undefined);
        },
      ),
      RUNS,
    );
  });

  it("takes the first of several cookies that has a valid signature", () => {
    const koa = contextOf(["key"]);
    koa.cookies.set("sid", "an-id-with-a-signature", { signed: true });
    const genuine = returned(sent(koa));
    const read = (header: string) =>
      new IdCookie("sid", true).read(contextOf(["key"], header))?.id;
    const id = "an-id-with-a-signature";
    assertEquals(read(`sid=tossed; ${genuine}`), id);
    assertEquals(read(`sid=; sid.sig=; ${genuine}`), id);
    assertEquals(read(`sid=a; sid.sig=b; sid="c; sid.sig="; ${genuine}`), id);
    assertEquals(read(`${genuine}; sid=tossed; sid.sig=tossed`), id);
    const signature = "x".repeat(27);
    const many = `sid=a; sid.sig=${signature}; `.repeat(1_000);
    assertEquals(read(many + genuine), undefined);
  });

  it("presents every id that came, in whatever order", () => {
    const { req } = contextOf(["key"], "sid=a; other=b; sid=c");
    const cookie = new IdCookie("sid", true);
    assertEquals(["a", "b", "c"].map((id) => cookie.presents(req, id)), [
      true,
      false,
      true,
    ]);
  });

  it("ignores keys that are left out", () => {
    const keys = ["key", undefined as unknown as string];
    const ctx = contextOf(keys, `sid=a; sid.sig=${"x".repeat(27)}`);
    assertEquals(new IdCookie("sid", true).read(ctx), undefined);
  });

  it("verifies a cached cookie again: its signature, and a key that was changed in place", () => {
    const secrets = ["first"];
    const koa = contextOf(secrets);
    koa.cookies.set("sid", "an-id-of-somebody-or-other", { signed: true });
    const genuine = returned(sent(koa));
    const forged = genuine.replace(/sig=./, "sig=!");
    const cookie = new IdCookie("sid", true);
    const read = (header: string) => cookie.read(contextOf(secrets, header));
    for (let times = 0; times < 4; times++) {
      assertEquals(read(genuine)?.id, "an-id-of-somebody-or-other");
      assertEquals(read(forged), undefined);
    }
    assertEquals(read(forged), undefined);
    secrets.unshift("second");
    assertEquals(read(genuine)?.signature, undefined);
    secrets.pop();
    assertEquals(read(genuine), undefined);
  });
});
