/** The network between a node and the store: slow, and at times broken. */
import type { Actor, Clock, Context } from "./clock.ts";
import { Random } from "./random.ts";

/** What the network does with one call. */
type Fate =
  | "answered"
  /** It fails before it has an effect. */
  | "refused"
  /** It has its effect, and fails. */
  | "broken"
  /** It never arrives; that is noticed many seconds later. */
  | "lost"
  /** It has its effect; that the answer is lost is noticed many seconds later. */
  | "unanswered"
  /** It has its effect seconds later. */
  | "late"
  /** It has its effect, and is answered seconds later. */
  | "slow";

const FATES: readonly (readonly [number, Fate])[] = [
  [2, "refused"],
  [3, "broken"],
  [1, "lost"],
  [2, "unanswered"],
  [3, "late"],
  [2, "slow"],
];

/** After this time a connection without answers is given up, in ms. */
const LOST_FOR = 15_000;

/** The connection of a node to the store. */
export class Link {
  readonly #clock: Clock;
  readonly #store: Actor;
  readonly #ordered: boolean;
  readonly #log: (text: () => string) => void;
  readonly #failed: (name: string) => void;
  readonly #calm: Context;
  #lastArrival = 0;
  #lastAnswer = 0;

  /**
   * @param ordered whether calls arrive, and are answered, in order, as on one connection
   * @param failed gets the name of each call that is not answered in time
   */
  constructor(
    clock: Clock,
    node: Actor,
    store: Actor,
    ordered: boolean,
    log: (text: () => string) => void,
    failed: (name: string) => void,
  ) {
    this.#clock = clock;
    this.#store = store;
    this.#ordered = ordered;
    this.#log = log;
    this.#failed = failed;
    this.#calm = {
      actor: node,
      random: new Random("link", node.name),
      chaos: 0,
    };
  }

  /**
   * Calls the store.
   *
   * @param apply has the effect; it runs in the context of the store
   */
  call<T>(name: string, apply: () => T | Promise<T>): Promise<T> {
    const clock = this.#clock;
    const context = clock.context ?? this.#calm;
    const { random, chaos } = context;
    const fate: Fate = random.chance(chaos)
      ? random.weighted(FATES)
      : "answered";
    const pause = random.integer(800, 7_000);
    const out = latency(random) + (fate === "late" ? pause : 0);
    const back = latency(random) + (fate === "slow" ? pause : 0);
    if (fate !== "answered") this.#failed(name);
    const failed = (text: string) => new Error(`Simulated: ${text}`);
    const note = (text: string) =>
      this.#log(() => `${context.actor.name} store ${name} ${text}`);
    return new Promise((resolve, reject) => {
      const answer = (settle: () => void) => {
        const at = this.#ordered
          ? this.#lastAnswer = Math.max(clock.now + back, this.#lastAnswer)
          : clock.now + back;
        clock.post(at - clock.now, context, settle);
      };
      const broken = () => reject(failed("the connection broke"));
      if (fate === "lost") {
        note("is lost");
        return clock.post(LOST_FOR, context, broken);
      }
      if (fate === "refused") {
        return clock.post(out, context, () => {
          note("is refused");
          reject(failed("the connection was refused"));
        });
      }
      const arrival = this.#ordered
        ? this.#lastArrival = Math.max(clock.now + out, this.#lastArrival)
        : clock.now + out;
      const server = { actor: this.#store, random, chaos: 0 };
      clock.post(arrival - clock.now, server, () => {
        let result: T | Promise<T>;
        try {
          result = apply();
        } catch (error) {
          return answer(() => reject(error));
        }
        Promise.resolve(result).then((value) => {
          note(`→ ${brief(value)}${fate === "answered" ? "" : ` (${fate})`}`);
          if (fate === "unanswered") {
            return clock.post(LOST_FOR, context, broken);
          }
          if (fate === "broken") return answer(broken);
          answer(() => resolve(value));
        }, (error) => answer(() => reject(error)));
      });
    });
  }
}

/** Mostly quick, now and then not. */
export function latency(random: Random): number {
  return random.weighted([
    [80, () => random.integer(0, 3)],
    [15, () => random.integer(3, 40)],
    [5, () => random.integer(40, 400)],
  ])();
}

/** A value in a few characters. */
export function brief(value: unknown): string {
  if (value === undefined) return "-";
  const { status, record, version, data, to, before } = Object(value);
  const of = record ?? (data === undefined ? undefined : value);
  const parts = [
    status,
    version === undefined ? undefined : `v${version}`,
    of && `v${of.version} ${of.data}`,
    to && `to ${to}`,
    before && `before ${before}`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(" ") : JSON.stringify(value);
}
