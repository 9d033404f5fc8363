/**
 * Spans for OpenTelemetry: the operations of the bridge, their waits and their
 * outcomes. They contain no ids and no data.
 *
 * Register an SDK first, for instance with `node --import ./telemetry.js`, as
 * its guide describes. Then run `deno run -A examples/opentelemetry.ts` and
 * open http://localhost:3000: each load of the page counts.
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
  const on = (step: string, act: (trace: SessionTrace) => void) =>
    subscribe(
      `tracing:koa-io-session:${name}:${step}`,
      (trace) => act(trace as SessionTrace),
    );
  on("start", (trace) => {
    const { source, session = "none" } = trace;
    const attributes = { "session.source": source, "session.hash": session };
    spans.set(trace, tracer.startSpan(`session.${name}`, { attributes }));
  });
  on("error", (trace) =>
    spans.get(trace)?.setStatus({
      code: SpanStatusCode.ERROR,
      message: trace.outcome ?? "",
    }));
  on("asyncEnd", (trace) => {
    const { outcome = "", wait } = trace;
    spans.get(trace)
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
