/** Requests of Engine.IO's long polling, by hand. */
import type { OutgoingHttpHeaders } from "node:http";
import { request } from "node:http";
import { settles } from "./wait.ts";

/** What a polling request has. */
export interface PollRequest {
  readonly method?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
}

/** What a polling request was answered. */
export interface PollAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** Sends one polling request on a connection of its own. */
export function poll(
  url: string,
  { method = "GET", query, headers, body }: PollRequest = {},
): Promise<PollAnswer> {
  const search = new URLSearchParams({
    EIO: "4",
    transport: "polling",
    ...query,
  });
  const answered = new Promise<PollAnswer>((resolve, reject) => {
    const call = request(`${url}/socket.io/?${search}`, {
      method,
      agent: false,
      headers: {
        ...(body !== undefined && {
          "content-type": "text/plain;charset=UTF-8",
          "content-length": String(new TextEncoder().encode(body).length),
        }),
        ...headers,
      },
    }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => text += chunk);
      answer.on("error", reject);
      answer.on("end", () => {
        const { statusCode = 0, headers } = answer;
        resolve({ status: statusCode, headers, body: text });
      });
    });
    call.on("error", reject);
    call.end(body);
  });
  return settles(answered, `${method} ${url}`);
}

/** Opens a connection by polling. @returns its id */
export async function openPolling(
  url: string,
  headers: OutgoingHttpHeaders = {},
): Promise<string> {
  const { status, body } = await poll(url, { headers });
  if (status !== 200) throw new Error(`the handshake was answered ${status}`);
  return JSON.parse(body.slice(1)).sid;
}
