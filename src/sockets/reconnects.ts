/**
 * Closing connections at the transport, so that clients reconnect by
 * themselves with the cookies that their browser has by then.
 *
 * @module
 */
import type { Socket } from "socket.io";
import { unref } from "../base/expiry_heap.ts";
import { TtlMap } from "../base/ttl_map.ts";
import type { RecoveryGate } from "./recovery.ts";
import { type BridgedSocket, SOCKET_STATE } from "./socket_extension.ts";
import { closeTransport, discarding } from "./socket_io.ts";

/** How long a client that does not poll may keep its closed connection, in ms. */
const DISCARD_AFTER = 1_000;

/** How long a guest of a client with a session stays connected, in ms: at its first connection, its second, its third. */
const GUEST_TIMES: readonly number[] = [1_000, 3_000, 9_000];

/** How long the connections of a client are counted, in ms. */
const COUNTED_FOR = 600_000;

/** Limit of clients whose connections are counted. */
export const MAX_CLIENTS = 10_000;

type Timer = ReturnType<typeof setTimeout>;

/** The guests of one client that are to reconnect. */
interface Guests {
  readonly sockets: Set<Socket>;
  /** How often guests of this client were closed. */
  times: number;
  timer: Timer | undefined;
  readonly until: number;
}

/** Makes sockets reconnect. */
export class Reconnects {
  readonly #recovery: RecoveryGate;
  readonly #failed: (error: unknown) => void;
  readonly #timers = new Set<Timer>();
  #stopped = false;
  /** End the connections that may wait for another poll. */
  readonly #waiting = new Set<() => void>();
  /** Connections that are being closed. */
  readonly #closing = new WeakSet<object>();
  /** By client id. */
  readonly #guests = new TtlMap<Guests>(({ until }) => until, MAX_CLIENTS);

  /** @param failed receives what the sockets' `disconnect` listeners throw */
  constructor(recovery: RecoveryGate, failed: (error: unknown) => void) {
    this.#recovery = recovery;
    this.#failed = failed;
  }

  /** Closes the connections of sockets at the transport; none of them is recovered. */
  close(sockets: readonly Socket[]): void {
    for (const socket of sockets) {
      const { conn } = socket;
      if (this.#closing.has(conn)) continue;
      this.#closing.add(conn);
      this.#recovery.refuse(socket);
      const discard = discarding(socket);
      this.#attempt(() => closeTransport(socket));
      // the close waits for the next poll, which may never come
      this.#waiting.add(discard);
      this.#after(DISCARD_AFTER, () => {
        this.#waiting.delete(discard);
        this.#attempt(discard);
      });
    }
  }

  /**
   * Makes a guest reconnect whose client has a session: its browser may have
   * received the session cookie since its handshake. After three times its
   * client's guests are left connected.
   *
   * @param isGuest whether a socket still follows its client and is outside its session
   * @param hasSession whether the client's session is still alive
   */
  heal(
    clientId: string,
    socket: Socket,
    isGuest: (socket: Socket) => boolean,
    hasSession: () => Promise<boolean>,
  ): void {
    let guests = this.#guests.get(clientId);
    if (!guests || guests.until <= Date.now()) {
      guests = {
        sockets: new Set(),
        times: 0,
        timer: undefined,
        until: Date.now() + COUNTED_FOR,
      };
      this.#guests.set(clientId, guests);
    }
    const delay = GUEST_TIMES[guests.times];
    if (delay === undefined) return;
    guests.sockets.add(socket);
    const own = guests;
    own.timer ??= this.#after(delay, () => {
      const due = [...own.sockets].filter(isGuest);
      own.sockets.clear();
      own.timer = undefined;
      own.times++;
      if (due.length === 0) return;
      hasSession().then((alive) => {
        if (alive && !this.#stopped) this.close(due.filter(isGuest));
      }, () => {
        // the store failed: they stay guests
      });
    });
  }

  /** Forgets the count of a client, one of whose sockets has entered its session. */
  healed(clientId: string): void {
    const guests = this.#guests.get(clientId);
    if (guests && guests.sockets.size === 0) this.#guests.delete(clientId);
  }

  /** A socket disconnected. */
  forget(socket: BridgedSocket): void {
    const clientId = socket[SOCKET_STATE]?.clientId;
    if (clientId !== undefined) {
      this.#guests.get(clientId)?.sockets.delete(socket);
    }
  }

  /** Stops all timers, and starts none any more; connections that are being closed end at once. */
  stop(): void {
    this.#stopped = true;
    for (const discard of this.#waiting) this.#attempt(discard);
    this.#waiting.clear();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }

  #attempt(close: () => void): void {
    try {
      close();
    } catch (error) {
      this.#failed(error);
    }
  }

  #after(delay: number, act: () => void): Timer | undefined {
    if (this.#stopped) return undefined;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, delay);
    unref(timer);
    this.#timers.add(timer);
    return timer;
  }
}
