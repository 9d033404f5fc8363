import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import type { Server } from "socket.io";
import { ClusterMessenger } from "../../src/lifecycle/cluster_messenger.ts";
import { guardSends } from "../../src/sockets/adapter_sends.ts";
import { unhandledIn } from "../support/errors.ts";

const lost = () => new Error("Socket closed");

/** A client as those of Redis: its methods need it as `this`. */
class Client {
  #sent = 0;

  publish(): Promise<number> {
    this.#sent++;
    return Promise.reject(lost());
  }

  get(): Promise<number> {
    return Promise.reject(lost());
  }

  get sent(): number {
    return this.#sent;
  }
}

/** What is collected of the errors that were reported. */
function reports() {
  const errors: string[] = [];
  const failed = (error: unknown) => {
    errors.push((error as Error).message);
  };
  return { errors, failed };
}

describe("guardSends", () => {
  it("reports what a client could not publish, and leaves its other commands alone", async () => {
    const { errors, failed } = reports();
    const client = new Client();
    const adapter = { pubClient: client };
    const remove = guardSends(adapter, failed);
    const unhandled = await unhandledIn(async () => {
      adapter.pubClient.publish();
      await assertRejects(() => adapter.pubClient.get());
    });
    assertEquals(unhandled, []);
    assertEquals(errors, ["Socket closed"]);
    assertEquals(adapter.pubClient.sent, 1);
    assertStrictEquals(adapter.pubClient.constructor, Client);
    remove();
    assertStrictEquals(adapter.pubClient, client);
  });

  it("keeps a client that the adapter was given later", () => {
    const adapter = { pubClient: new Client() };
    const remove = guardSends(adapter, () => {});
    const later = adapter.pubClient = new Client();
    remove();
    assertStrictEquals(adapter.pubClient, later);
  });

  it("does nothing to an adapter without clients", () => {
    const adapter = {};
    guardSends(adapter, () => {})();
    assertEquals(adapter, {});
  });
});

describe("ClusterMessenger", () => {
  it("reports what an adapter of any kind could not send", async () => {
    const { errors, failed } = reports();
    class Base {
      serverSideEmit(): unknown {
        return undefined;
      }
    }
    class Adapter extends Base {
      override serverSideEmit(): unknown {
        return Promise.reject(lost());
      }
    }
    const namespace = { adapter: new Adapter(), _onServerSideEmit() {} };
    const io = { of: () => namespace } as unknown as Server;
    const receiver = { onMessage: () => Promise.resolve() };
    const messenger = new ClusterMessenger(io, receiver, failed);
    const unhandled = await unhandledIn(() => {
      messenger.publish({ type: "start", hash: "hash" });
    });
    messenger.close();
    assertEquals(unhandled, []);
    assertEquals(errors, ["Socket closed"]);
  });
});
