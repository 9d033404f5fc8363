/** Messages between the nodes: they may be late, lost, repeated, and out of order. */
import type { Server } from "socket.io";
import type { Actor, Clock, Context } from "./clock.ts";
import { latency } from "./link.ts";
import { Random } from "./random.ts";

/** What connects the nodes. */
export class Messenger {
  /** The probability that a message is lost. */
  loss = 0;
  /** The probability that a message arrives twice. */
  repetition = 0;
  readonly #clock: Clock;
  readonly #log: (text: () => string) => void;
  readonly #receivers = new Map<Actor, (packet: unknown[]) => void>();

  constructor(clock: Clock, log: (text: () => string) => void) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Connects a node: gives its server an adapter that reaches the others. */
  connect(actor: Actor, io: Server): void {
    type Adapter = new (nsp: unknown) => {
      readonly nsp: { _onServerSideEmit(packet: unknown[]): void };
      broadcast(packet: unknown, options: unknown): void;
    };
    // deno-lint-ignore no-this-alias
    const messenger = this;
    const Base = io.adapter() as unknown as Adapter;
    class SimulatedAdapter extends Base {
      serverSideEmit(packet: unknown[]): void {
        messenger.#send(actor, packet);
      }

      serverCount(): Promise<number> {
        return Promise.resolve(messenger.#receivers.size);
      }
    }
    io.adapter(SimulatedAdapter as never);
    this.#receivers.set(
      actor,
      (packet) => {
        const { adapter } = io.of("/") as unknown as {
          adapter: InstanceType<Adapter>;
        };
        adapter.nsp._onServerSideEmit(packet);
      },
    );
  }

  /** A node died. */
  disconnect(actor: Actor): void {
    this.#receivers.delete(actor);
  }

  #send(from: Actor, packet: unknown[]): void {
    const context = this.#clock.context!;
    const { random, chaos } = context;
    for (const [actor, receive] of this.#receivers) {
      if (actor === from) continue;
      const text = () =>
        `${from.name} message ${JSON.stringify(packet[1])} to ${actor.name}`;
      if (random.chance(chaos) && random.chance(this.loss)) {
        this.#log(() => `${text()} is lost`);
        continue;
      }
      const copies = random.chance(this.repetition) ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const receiving: Context = {
          actor,
          random: new Random(random.next(), actor.name),
          chaos,
        };
        const slow = random.chance(chaos) ? random.integer(0, 4_000) : 0;
        this.#clock.post(latency(random) + slow, receiving, () => {
          this.#log(() => `${text()} arrives`);
          receive(packet);
        });
      }
    }
  }
}
