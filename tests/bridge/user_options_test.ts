import { assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { Server } from "socket.io";
import { bridgeSession, type SessionBridge } from "@koa-io/session";
import { createApp } from "../support/app.ts";

/** Makes a bridge without clients. */
function construct(options: Record<string, unknown>): SessionBridge {
  const app = createApp();
  app.keys = ["k"];
  return bridgeSession(app, new Server(), options as never) as SessionBridge;
}

describe("bridgeSession options about users", () => {
  for (
    const [option, values] of [
      ["onUserChange", ["reconnect", "follow", "keep"]],
      ["maxSessions", [1, { max: 3 }, { max: 3, exceed: "refuse" }]],
    ] as const
  ) {
    it(`refuse ${option} without user with a TypeError that names both`, async () => {
      const user = () => "ada";
      for (const value of values) {
        for (const none of [{}, { user: null }, { user: undefined }]) {
          const error = assertThrows(
            () => construct({ [option]: value, ...none }),
            TypeError,
          );
          assertMatch(error.message, new RegExp(`\\b${option}\\b`));
          assertMatch(error.message, /\boption user\b/);
        }
        await construct({ [option]: value, user }).close();
      }
    });
  }

  it("accept meta without user", async () => {
    await construct({ meta: () => ({}) }).close();
  });
});
