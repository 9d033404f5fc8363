/** Commands to a Redis, and a watch on the commands that it receives. */
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import { until } from "../wait.ts";

/** The commands that Redis receives from now on, without those that scripts run. */
export interface Monitor {
  /** Every command so far; waits until those sent before have arrived. */
  commands(): Promise<readonly string[]>;
  close(): void;
}

/** Watches a Redis with `MONITOR`. */
export async function monitor(port: number): Promise<Monitor> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  socket.write("MONITOR\r\n");
  await until(() => text.startsWith("+OK"), "MONITOR");
  let marks = 0;
  return {
    async commands() {
      const mark = `mark-${++marks}`;
      await say(port, `ECHO ${mark}\r\n`);
      await until(() => text.includes(mark), "the mark");
      return text.split("\r\n").slice(1).filter((line) =>
        line !== "" && !/ lua\] /.test(line) && !line.includes("mark-")
      ).map((line) => line.replace(/^\S+ \[[^\]]*\] /, ""));
    },
    close: () => void socket.destroy(),
  };
}

/** Sends one command (a line of the inline protocol) and resolves to the raw reply. */
export function say(port: number, line: string): Promise<string> {
  return new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.setEncoding("utf8");
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("Cannot hear Redis")));
    socket.on("data", (reply: string) => {
      resolve(reply);
      socket.destroy();
    });
    socket.write(line);
  });
}

/** The connections of a Redis, but for the one that asks. */
export async function connections(port: number): Promise<number> {
  const list = await say(port, "CLIENT LIST\r\n");
  return list.split("\r\n")[1]!.trim().split("\n").length - 1;
}

/** Sends one command with any arguments, and resolves to the raw reply. */
export function command(
  port: number,
  args: readonly string[],
): Promise<string> {
  const parts = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
  return say(port, `*${args.length}\r\n${parts.join("")}`);
}
