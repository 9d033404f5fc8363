/** Reads a small JSON body and refuses all others. */
import { Buffer } from "node:buffer";
import type { Context } from "./routes.ts";

const MOST_BYTES = 1_024;

/** The JSON body of a request; responds with 415, 413 or 400 if it is not valid. */
export async function readJson(ctx: Context): Promise<unknown> {
  if (!ctx.is("application/json")) ctx.throw(415, "Only JSON will do here");
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of ctx.req) {
    size += chunk.length;
    if (size > MOST_BYTES) {
      // the rest of the body is not read
      ctx.set("connection", "close");
      ctx.throw(413, `A body has ${MOST_BYTES} bytes at most`);
    }
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    return ctx.throw(400, "The body is no JSON");
  }
}
