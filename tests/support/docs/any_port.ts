/**
 * Imported before a program of the documents: replaces the port that it listens on by a free one, and prints it.
 */
import { Server } from "node:http";
import type { AddressInfo } from "node:net";

const { listen } = Server.prototype;

Server.prototype.listen = function (this: Server, ...args: unknown[]): Server {
  this.once("listening", () => {
    console.log(`LISTENING ${(this.address() as AddressInfo).port}`);
  });
  const callbacks = args.filter((arg) => typeof arg === "function");
  return Reflect.apply(listen, this, [0, "127.0.0.1", ...callbacks]);
};
