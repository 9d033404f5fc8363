/** The socket events: identity, and counting over the socket. */
import type { Server } from "socket.io";
import type { SessionBridge, SessionSocket } from "@koa-io/session";
import {
  type CounterEvent,
  type DemoSession,
  increment,
  type Me,
  shorten,
  tabName,
} from "./session.ts";

type Bridge = SessionBridge<DemoSession>;
type Ack = (answer: Record<string, unknown>) => void;
type DemoSocket = SessionSocket<DemoSession>;

/** Answers the events `me` and `count`, each with an acknowledgement. */
export function answerSockets(io: Server, bridge: Bridge): void {
  io.on("connection", (raw) => {
    const socket = raw as DemoSocket;
    answer(socket, "me", () => me(socket));
    answer(socket, "count", (tab, pause) => count(socket, bridge, tab, pause));
  });
}

/** `undefined` as `onMissing`: a socket without a session is not an error. */
async function me(socket: DemoSocket): Promise<Me> {
  const session = await socket.withSession(
    ({ session }): DemoSession => ({ ...session }),
    undefined,
  );
  return {
    clientId: shorten(socket.clientId),
    sessionId: shorten(socket.sessionId),
    user: session?.user,
    count: session?.count,
  };
}

async function count(
  socket: DemoSocket,
  bridge: Bridge,
  tab: unknown,
  pause: unknown,
): Promise<number> {
  const { sessionId, value } = await socket.withSession(
    async ({ sessionId, session }) => ({
      sessionId,
      value: await increment(session, pause),
    }),
  );
  const event: CounterEvent = {
    value,
    via: "socket.withSession",
    tab: tabName(tab),
  };
  bridge.toSession(sessionId).emit("counter", event);
  return value;
}

/** Acknowledges with `{ value }` or `{ error, code }`, if the client asked for it. */
function answer(
  socket: DemoSocket,
  event: string,
  handler: (...args: unknown[]) => Promise<unknown>,
): void {
  socket.on(event, async (...args: unknown[]) => {
    const ack = args.at(-1);
    const reply = typeof ack === "function" ? args.pop() as Ack : () => {};
    try {
      reply({ value: await handler(...args) });
    } catch (error) {
      const { message, code } = error as Error & { code?: string };
      // an error without a code is not from the bridge: its text is not sent
      if (code === undefined) console.error(error);
      reply({ error: code ? message : "Something went wrong", code });
    }
  });
}
