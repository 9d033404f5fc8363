/** Socket.IO's own recipe for sessions: Express with express-session. */
import type { IncomingMessage, RequestListener } from "node:http";
// @ts-types="npm:@types/express@^5.0.0"
import express from "npm:express@^5.1.0";
// @ts-types="npm:@types/express-session@^1.18.0"
import session from "npm:express-session@^1.18.0";
import { Server } from "socket.io";
import {
  type Ack,
  type Data,
  fresh,
  KEYS,
  nextUser,
  type Target,
} from "./target.ts";

type Session = session.Session & Data;

export function expressSession(): Target {
  const app = express();
  const middleware = session({
    name: "sid",
    secret: KEYS,
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 86_400_000 },
  });
  app.use(middleware);
  app.get("/untouched", (_req, res) => void res.send("untouched"));
  app.use((req, res) => {
    const session = req.session as Session;
    if (req.path === "/login") Object.assign(session, fresh());
    if (req.path === "/change") session.count++;
    if (req.path === "/switch") {
      req.session.regenerate((error: unknown) => {
        if (error) throw error;
        Object.assign(req.session, { ...fresh(), user: nextUser() });
        res.type("text").send("1");
      });
      return;
    }
    res.type("text").send(String(session.count));
  });
  const io = new Server();
  io.on("connection", (socket) => {
    const request = socket.request as IncomingMessage & { session: Session };
    // the handshake's session is a copy: each event has to reload it
    const loaded = (use: () => void) => {
      request.session.reload((error: unknown) => {
        if (error) throw error;
        use();
      });
    };
    socket.on("echo", (value: unknown, ack: Ack) => ack(value));
    socket.on("read", (_: unknown, ack: Ack) => {
      loaded(() => ack(request.session.count));
    });
    socket.on("increment", (_: unknown, ack: Ack) => {
      loaded(() => {
        const count = ++request.session.count;
        request.session.save(() => ack(count));
      });
    });
  });
  const attached = () => io.engine.use(middleware);
  return { listener: app as unknown as RequestListener, io, attached };
}
