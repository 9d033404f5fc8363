/**
 * Topics of uWebSockets.js. With `io.attachApp`, public since 4.4, Socket.IO
 * patches the base class of adapters: a packet to one room is published to the
 * topic of that room, and `addAll` and `del` subscribe WebSockets to topics. The
 * bridge's rooms pass both by. Checked with socket.io 4.8.4.
 *
 * @module
 */
import type { Socket } from "socket.io";
import { engineOfSocket } from "./engine_io.ts";

/** What separates a namespace from a room in the name of a topic. */
const SEPARATOR = "\x1f";

/** A WebSocket of uWebSockets.js. */
interface TopicSocket {
  subscribe(topic: string): unknown;
  unsubscribe(topic: string): unknown;
}

/** Subscribes a socket to the topics of rooms that it joined, where there are topics. */
export function followTopics(socket: Socket, rooms: readonly string[]): void {
  for (const room of rooms) {
    topicSocketOf(socket)?.subscribe(topicOf(socket, room));
  }
}

/** Ends the subscriptions. */
export function leaveTopics(socket: Socket, rooms: readonly string[]): void {
  for (const room of rooms) {
    topicSocketOf(socket)?.unsubscribe(topicOf(socket, room));
  }
}

/** Calls back when a socket that cannot follow topics yet has become a WebSocket that can. */
export function beforeTopics(socket: Socket, act: () => void): void {
  const { conn } = socket;
  if (conn.transport.name === "websocket") return;
  // the class of Engine.IO for uWebSockets.js
  if (engineOfSocket(socket).constructor.name !== "uServer") return;
  conn.once("upgrade", act);
}

/** `transport.socket`, private to Engine.IO's transports. */
function topicSocketOf({ conn }: Socket): TopicSocket | undefined {
  const { transport } = conn;
  if (transport.name !== "websocket") return undefined;
  const socket: Partial<TopicSocket> | undefined = Reflect.get(
    transport,
    "socket",
  );
  return typeof socket?.subscribe === "function"
    ? socket as TopicSocket
    : undefined;
}

function topicOf({ nsp }: Socket, room: string): string {
  return `${nsp.name}${SEPARATOR}${room}`;
}
