/** Requests whose body arrives in two parts. */
import { request } from "node:http";
import type { TestSession } from "../app.ts";
import { Answer, type Browser } from "../browser.ts";
import type { CookieJar } from "../cookies.ts";
import { readJson } from "../routes.ts";
import { settles } from "../wait.ts";

/** Sends and reads such requests. */
export const trickle = {
  /** Sends the headers and the first byte of the body. The answer's cookies are not kept. */
  send(
    { url, jar: own }: Browser,
    path: string,
    json: TestSession,
    jar: CookieJar = own,
  ): { finish(): Promise<Answer> } {
    const text = JSON.stringify(json);
    const call = request(url + path, {
      method: "POST",
      agent: false,
      headers: {
        cookie: jar.header(url),
        "content-type": "application/json",
        "content-length": String(text.length),
      },
    });
    const answered = new Promise<Answer>((resolve, reject) => {
      call.on("error", reject);
      call.on("response", (answer) => {
        let body = "";
        answer.setEncoding("utf8");
        answer.on("data", (chunk: string) => body += chunk);
        answer.on("error", reject);
        answer.on("end", () => {
          const { statusCode = 0, headers } = answer;
          resolve(new Answer(statusCode, headers, body));
        });
      });
    });
    call.write(text.slice(0, 1));
    return {
      finish() {
        call.end(text.slice(1));
        return settles(answered, `POST ${path}`);
      },
    };
  },
  /** Reads the whole body. */
  read: (
    req: AsyncIterable<Uint8Array>,
  ): Promise<TestSession> => readJson(req),
};
