/**
 * Spans for OpenTelemetry: what the bridge does, how long it waits for a
 * session, and what comes of it. No id and no data is in them.
 *
 * Register an SDK first, for instance with `node --import ./telemetry.js`, as
 * its own guide tells. Then run `deno run -A examples/opentelemetry.ts` and
 * open http://localhost:3000: each load of the page is a count.
 */
import { subscribe } from "node:diagnostics_channel";
import { createServer } from "node:http";
import process from "node:process";
import { type Span, SpanStatusCode, trace } from "@opentelemetry/api";
// @ts-types="@types/koa"
import Koa from "koa";
import { Server } from "socket.io";
import { bridgeSession } from "@koa-io/session";
import type { SessionContext, SessionTrace } from "@koa-io/session";

const tracer = trace.getTracer("koa-io-session");
const spans = new WeakMap<SessionTrace, Span>();

function watch(name: string): void {
  const on = (step: string, act: (told: SessionTrace) => void) =>
    subscribe(
      `tracing:koa-io-session:${name}:${step}`,
      (told) => act(told as SessionTrace),
    );
  on("start", (told) => {
    const { source, session = "none" } = told;
    const attributes = { "session.source": source, "session.hash": session };
    spans.set(told, tracer.startSpan(`session.${name}`, { attributes }));
  });
  on("error", (told) =>
    spans.get(told)?.setStatus({
      code: SpanStatusCode.ERROR,
      message: told.outcome ?? "",
    }));
  on("asyncEnd", (told) => {
    const { outcome = "", wait } = told;
    spans.get(told)
      ?.setAttributes({ "session.outcome": outcome, "session.wait_ms": wait })
      .end();
  });
}
["transaction", "load", "commit", "handshake", "end"].forEach(watch);

const app = new Koa<Koa.DefaultState, SessionContext<{ count?: number }>>();
const io = new Server();
bridgeSession(app, io, { key: "app.sid", appKeys: ["a long secret"] });
app.use((ctx) => {
  ctx.session!.count = (ctx.session!.count ?? 0) + 1;
  ctx.body = ctx.session;
});
const server = createServer(app.callback());
io.attach(server);
server.listen(process.env.PORT ?? 3000);
