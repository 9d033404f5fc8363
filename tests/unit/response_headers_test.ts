import { createServer, get, type ServerResponse } from "node:http";
import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { ResponseHeaders } from "../../src/http/response_headers.ts";
import { deferred, once, settles } from "../support/wait.ts";

/** Hands the response of one request to `answer`, while the client waits for it, or goes. */
async function answering(
  answer: (headers: ResponseHeaders, res: ServerResponse) => Promise<void>,
  { abort = false } = {},
): Promise<number[]> {
  const statuses: number[] = [];
  const done = deferred();
  const server = createServer((_req, res) => {
    const headers = new ResponseHeaders(
      { res } as never,
      (_headers, status) => void statuses.push(status),
    );
    answer(headers, res).then(done.resolve, done.reject);
    if (abort) request.destroy();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const request = get({ port, host: "127.0.0.1", agent: false }, (response) => {
    response.resume();
  });
  request.on("error", () => {});
  try {
    await done.promise;
  } finally {
    request.destroy();
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }
  return statuses;
}

const calledBack = (headers: ResponseHeaders) =>
  settles(new Promise<void>((resolve) => headers.after(resolve)), "a callback");

describe("ResponseHeaders", () => {
  it("decides once, with the status", async () => {
    const statuses = await answering(async (_headers, res) => {
      res.statusCode = 404;
      res.write("a");
      res.end("b");
      await once(res, "close");
    });
    assertEquals(statuses, [404]);
  });

  it("lets writeHead throw when the headers are sent", async () => {
    const statuses = await answering((_headers, res) => {
      res.writeHead(201);
      res.flushHeaders();
      let thrown: unknown;
      try {
        res.writeHead(200);
      } catch (error) {
        thrown = error;
      }
      assertEquals((thrown as { code?: string }).code, "ERR_HTTP_HEADERS_SENT");
      res.end();
      return Promise.resolve();
    });
    assertEquals(statuses, [201]);
  });

  it("calls back once the headers are written, while the body is not", async () => {
    await answering(async (headers, res) => {
      const both = Promise.all([calledBack(headers), calledBack(headers)]);
      res.write("a");
      await both;
      await calledBack(headers);
      res.end();
    });
  });

  it("calls back when the client has gone before", async () => {
    const statuses = await answering(async (headers) => {
      await calledBack(headers);
      await calledBack(headers);
    }, { abort: true });
    assertEquals(statuses, []);
  });

  it("calls each callback once", async () => {
    let calls = 0;
    await answering(async (headers, res) => {
      headers.after(() => calls++);
      res.end("a");
      await once(res, "close");
      await calledBack(headers);
    });
    assertEquals(calls, 1);
  });

  it("lets several decide, with a wrapper of others between them", async () => {
    const calls: string[] = [];
    await answering(async (_headers, res) => {
      const { writeHead } = res;
      res.writeHead = function (this: ServerResponse, ...args: unknown[]) {
        calls.push("wrapper");
        return Reflect.apply(writeHead, this, args as never);
      } as typeof writeHead;
      new ResponseHeaders({ res } as never, () => calls.push("inner"));
      res.end();
      await once(res, "close");
    }).then((statuses) => calls.push(...statuses.map(String)));
    assertEquals(calls, ["inner", "wrapper", "200"]);
  });

  it("decides again when writeHead refused the status", async () => {
    const statuses = await answering(async (_headers, res) => {
      try {
        res.writeHead(9_999);
      } catch { /* a RangeError */ }
      res.writeHead(500).end();
      await once(res, "close");
    });
    assertEquals(statuses, [9_999, 500]);
  });
});
