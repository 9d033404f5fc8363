/** Ports of the loopback interface: free ones, and proxies in front of others. */
import { connect, createServer, type Socket } from "node:net";
import { once } from "./wait.ts";

/** A free port. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const closed = once(server, "close");
  server.close();
  await closed;
  return port;
}

/** Whether nothing listens at an address. */
export async function refuses(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  const closed = once(socket, "close");
  const connected = await new Promise<boolean>((resolve) => {
    socket.on("connect", () => resolve(true));
    socket.on("error", () => resolve(false));
  });
  socket.destroy();
  await closed;
  return !connected;
}

/** A proxy in front of a server, whose connections can be cut. */
export interface Proxy {
  readonly port: number;
  /** Cuts all connections and refuses new ones. */
  cut(): void;
  /** Lets connections through again. */
  mend(): void;
  close(): Promise<void>;
}

/** Puts a {@linkcode Proxy} in front of a port. */
export async function proxy(target: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let open = true;
  const cut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
  };
  const server = createServer((near) => {
    if (!open) return void near.destroy();
    const far = connect(target, "127.0.0.1");
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from);
      from.on("error", () => {}).on("close", () => to.destroy());
      from.pipe(to);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    cut,
    mend: () => void (open = true),
    async close() {
      cut();
      const closed = once(server, "close");
      server.close();
      await closed;
    },
  };
}
