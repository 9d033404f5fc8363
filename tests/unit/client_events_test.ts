/**
 * What the compiler accepts of the events that clients receive, where something
 * must be refused by `@ts-expect-error`, and that the lists of names are
 * complete.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { BroadcastOperator, DefaultEventsMap, Socket } from "socket.io";
import { CLIENT_EVENTS, END_REASONS } from "../../src/api/events.ts";
import { emitTo } from "../../src/sockets/client_events.ts";

/** Compiled and never called. */
function compile(_body: () => unknown): void {}

/** A value of a type; only types are looked at. */
function value<T>(): T {
  return undefined as T;
}

compile(() => {
  const socket = value<Socket>();
  const rooms = value<BroadcastOperator<DefaultEventsMap, unknown>>();

  emitTo(socket, "session:start");
  emitTo(socket, "session:end", { reason: "logout" });
  emitTo(socket, "session:rotated", { sockets: "follow" });
  emitTo(socket, "session:none", { client: true });
  emitTo(socket, "session:expiring", { inMs: 1 });
  emitTo(rooms, "session:view", { any: "value" });

  // @ts-expect-error a misspelt event
  emitTo(socket, "session:started");
  // @ts-expect-error an event of the application
  emitTo(socket, "cart", {});
  // @ts-expect-error this event has no payload
  emitTo(socket, "session:start", {});
  // @ts-expect-error a payload is needed
  emitTo(socket, "session:end");
  // @ts-expect-error not a reason
  emitTo(socket, "session:end", { reason: "bored" });
  // @ts-expect-error the payload of another event
  emitTo(socket, "session:rotated", { reason: "logout" });
  // @ts-expect-error neither follow nor leave
  emitTo(socket, "session:rotated", { sockets: "stay" });
  // @ts-expect-error a number of ms
  emitTo(socket, "session:expiring", { inMs: "1" });
  // @ts-expect-error one payload
  emitTo(rooms, "session:view", {}, {});
  // @ts-expect-error not a target
  emitTo({}, "session:start");
});

describe("emitTo", () => {
  it("emits the event with its payload", () => {
    const emitted: unknown[][] = [];
    const target = { emit: (...args: unknown[]) => void emitted.push(args) };
    emitTo(target, "session:start");
    emitTo(target, "session:expiring", { inMs: 1 });
    assertEquals(emitted, [
      ["session:start"],
      ["session:expiring", { inMs: 1 }],
    ]);
  });
});

describe("CLIENT_EVENTS", () => {
  it("has the names of all events", () => {
    assertEquals([...CLIENT_EVENTS], [
      "session:start",
      "session:end",
      "session:rotated",
      "session:none",
      "session:expiring",
      "session:view",
    ]);
  });
});

describe("END_REASONS", () => {
  it("has all reasons", () => {
    assertEquals([...END_REASONS], [
      "logout",
      "revoked",
      "expired",
      "replaced",
      "displaced",
      "rotated",
      "evicted",
    ]);
  });
});
