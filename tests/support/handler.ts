/** A server with one handler, and what its answers are asked for. */
import type { ServerResponse } from "node:http";
import type { TestContext } from "./app.ts";
import type { Answer } from "./browser.ts";
import { CLIENT_KEY } from "./cookies.ts";
import {
  type ServerConfig,
  type Stand,
  startServer,
  type TestOptions,
} from "./server.ts";

/** A Koa context with its answer within reach. */
export type HandlerContext = TestContext & {
  readonly res: ServerResponse;
  respond: boolean;
};

/** Starts a server whose every path runs the handler; the answer has a body unless that sets another. */
export function serve(
  handler: (ctx: HandlerContext) => unknown,
  options: TestOptions = {},
  config: ServerConfig = {},
): Promise<Stand> {
  return startServer(options, ({ app }) => {
    app.use(async (ctx: HandlerContext) => {
      ctx.body = "body";
      await handler(ctx);
    });
  }, config);
}

/** The names of the cookies that an answer sets or removes, in order. */
export function cookieNames(answer: Answer): string[] {
  return answer.setCookies.map(({ name }) => name);
}

/** The `Cache-Control` of an answer. */
export function cacheControl(answer: Answer): string | undefined {
  return answer.headers["cache-control"];
}

/** The names of the cookies of an answer that sends the client cookie and nothing else. */
export const CLIENT_LINES: readonly string[] = [
  CLIENT_KEY,
  `${CLIENT_KEY}.sig`,
];
