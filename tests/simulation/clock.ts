/**
 * Virtual time. Timers, network and faults are events of one queue; an event
 * runs, with all promises that it settles, before the next one begins. What
 * the code under test reads as the time, and the timers that it starts, belong
 * to the actor (a node, the store) in whose async context it runs.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import process from "node:process";
import { setImmediate } from "node:timers";
import type { Random } from "./random.ts";

/**
 * The start of the next simulation, ms since the epoch. Each begins after the
 * one before, as a process does not see its clock go back by hours.
 */
let nextEpoch = 1_800_000_000_000;

/** What has a clock, and can be stopped: a node, or the store. */
export class Actor {
  /** Its events wait while it is frozen. */
  frozen = false;
  /** Its events are dropped. */
  dead = false;
  /** Events that became due while it was frozen. */
  readonly backlog: Event[] = [];
  /** Timers that are running. */
  readonly timers = new Set<Event>();

  /** @param skew how far its clock is ahead, in ms */
  constructor(readonly name: string, readonly skew: number = 0) {}
}

/** The async context of everything that runs in a simulation. */
export interface Context {
  readonly actor: Actor;
  /** Decides about delays and faults of what is caused here. */
  readonly random: Random;
  /** The probability of faults, from 0 to 1. */
  readonly chaos: number;
}

interface Event {
  time: number;
  order: number;
  readonly actor: Actor | undefined;
  readonly isTimer: boolean;
  cancelled: boolean;
  run(): void;
}

/** Limit of events of one simulation: more of them are a loop without end. */
const MAX_EVENTS = 300_000;

/** The queue of events, and the clock. */
export class Clock {
  /** The start, ms since the epoch. */
  readonly epoch = nextEpoch;
  /** Virtual ms since the start. */
  now = 0;
  /** Number of events so far. */
  events = 0;
  readonly #contexts = new AsyncLocalStorage<Context>();
  readonly #queue: Event[] = [];
  #order = 0;

  /** The context of the caller. */
  get context(): Context | undefined {
    return this.#contexts.getStore();
  }

  /** Calls a function in a context. */
  within<T>(context: Context, run: () => T): T {
    return this.#contexts.run(context, run);
  }

  /** Runs a function after `delay` ms, in a context. */
  post(delay: number, context: Context, run: () => void): void {
    this.#add(delay, context.actor, false, () => this.within(context, run));
  }

  /** Runs a function of the simulation itself after `delay` ms. */
  plan(delay: number, run: () => void): void {
    this.#add(delay, undefined, false, run);
  }

  /** Starts a timer of the present context. */
  timer(delay: number, run: () => void): Event {
    const restore = AsyncLocalStorage.snapshot();
    const actor = this.context?.actor;
    const event = this.#add(Math.max(1, delay), actor, true, () => {
      actor?.timers.delete(event);
      restore(run);
    });
    actor?.timers.add(event);
    return event;
  }

  /** Stops a timer. */
  cancel(event: Event): void {
    event.cancelled = true;
    event.actor?.timers.delete(event);
  }

  /** Lets a frozen actor go on: what became due runs now, timers first or last. */
  thaw(actor: Actor, timersFirst: boolean): void {
    if (!actor.frozen) return;
    actor.frozen = false;
    const due = actor.backlog.splice(0);
    const timers = due.filter((event) => event.isTimer);
    const others = due.filter((event) => !event.isTimer);
    const ordered = timersFirst
      ? [...timers, ...others]
      : [...others, ...timers];
    for (const event of ordered) {
      event.time = this.now;
      this.#push(event);
    }
  }

  /** Runs all events up to a time, and moves the clock there. */
  async runUntil(time: number): Promise<void> {
    await settle();
    for (let event; (event = this.#queue[0]) && event.time <= time;) {
      this.#pop();
      if (event.cancelled || event.actor?.dead) continue;
      this.now = Math.max(this.now, event.time);
      if (event.actor?.frozen) {
        event.actor.backlog.push(event);
        continue;
      }
      if (++this.events > MAX_EVENTS) throw new Error("Too many events");
      event.run();
      await settle();
    }
    this.now = Math.max(this.now, time);
  }

  /** The time that the present context reads, ms since the epoch. */
  time(): number {
    return this.epoch + Math.floor(this.now) + (this.context?.actor.skew ?? 0);
  }

  #add(
    delay: number,
    actor: Actor | undefined,
    isTimer: boolean,
    run: () => void,
  ): Event {
    const time = this.now + Math.max(0, delay);
    const event = { time, order: 0, actor, isTimer, cancelled: false, run };
    this.#push(event);
    return event;
  }

  #push(event: Event): void {
    event.order = ++this.#order;
    const queue = this.#queue;
    let at = queue.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, queue[parent]!)) break;
      queue[at] = queue[parent]!;
      at = parent;
    }
    queue[at] = event;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop()!;
    if (queue.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= queue.length) break;
      if (
        child + 1 < queue.length && isBefore(queue[child + 1]!, queue[child]!)
      ) child++;
      if (!isBefore(queue[child]!, last)) break;
      queue[at] = queue[child]!;
      at = child;
    }
    queue[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

/** Waits until all promises and ticks that are ready have run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * Replaces timers, time and `Math.random` of this process by those of a
 * simulation while `run` is pending.
 *
 * @param failed receives unhandled rejections
 */
export async function virtually<T>(
  clock: Clock,
  random: Random,
  failed: (error: unknown) => void,
  run: () => Promise<T>,
): Promise<T> {
  const real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
    Date: globalThis.Date,
  };
  const mathRandom = Math.random;
  const { performance } = globalThis;
  Object.assign(globalThis, timersOf(clock), { Date: dateOf(clock) });
  Object.defineProperty(performance, "now", {
    configurable: true,
    value: () => clock.now,
  });
  Math.random = () => (clock.context?.random ?? random).next();
  process.on("unhandledRejection", failed);
  try {
    return await run();
  } finally {
    await settle();
    process.off("unhandledRejection", failed);
    nextEpoch += Math.ceil(clock.now) + 3_600_000;
    Math.random = mathRandom;
    Reflect.deleteProperty(performance, "now");
    Object.assign(globalThis, real);
  }
}

/** A timer as Node's: an object that may be unreferenced. */
class Timeout {
  event: Event | undefined;

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return false;
  }
}

function timersOf(clock: Clock) {
  type Callback = (...args: unknown[]) => void;
  const clear = (timeout: unknown) => {
    if (!(timeout instanceof Timeout) || !timeout.event) return;
    clock.cancel(timeout.event);
  };
  return {
    setTimeout: (run: Callback, delay = 0, ...args: unknown[]) => {
      const timeout = new Timeout();
      timeout.event = clock.timer(delay, () => run(...args));
      return timeout;
    },
    setInterval: (run: Callback, delay = 0, ...args: unknown[]) => {
      const timeout = new Timeout();
      const again = () => {
        timeout.event = clock.timer(delay, () => {
          again();
          run(...args);
        });
      };
      again();
      return timeout;
    },
    clearTimeout: clear,
    clearInterval: clear,
  };
}

function dateOf(clock: Clock): DateConstructor {
  const RealDate = globalThis.Date;
  return class extends RealDate {
    constructor(...args: unknown[]) {
      super(...(args.length === 0 ? [clock.time()] : args) as [number]);
    }

    static override now(): number {
      return clock.time();
    }
  } as unknown as DateConstructor;
}
