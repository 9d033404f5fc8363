/**
 * Helpers for calls that are synchronous or asynchronous, and for promises
 * that may never settle.
 *
 * @module
 */
import { SessionStoreError } from "../api/errors.ts";
import type { Awaitable } from "../api/store.ts";

/** Runs `end` after `act`, whether it returns, throws, resolves or rejects. */
export function withFinally<T>(
  act: () => Awaitable<T>,
  end: () => void,
): Awaitable<T> {
  let result: Awaitable<T>;
  try {
    result = act();
  } catch (error) {
    end();
    throw error;
  }
  if (result instanceof Promise) return result.finally(end);
  end();
  return result;
}

/** Runs `undo` when `act` throws or rejects. */
export function onFailure<T>(
  act: () => Awaitable<T>,
  undo: () => void,
): Awaitable<T> {
  const failed = (error: unknown): never => {
    undo();
    throw error;
  };
  try {
    const result = act();
    return result instanceof Promise ? result.catch(failed) : result;
  } catch (error) {
    return failed(error);
  }
}

/** Whether a value is a promise, or any other object with `then`. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}

/**
 * Continues with a value: synchronously if it is there, else when its promise
 * settles. Takes any thenable.
 *
 * @param failed replaces a rejection of `value`; errors of `next` pass it by
 */
export function chain<T, R>(
  value: Awaitable<T>,
  next: (value: T) => Awaitable<R>,
  failed?: (error: unknown) => Awaitable<R>,
): Awaitable<R> {
  return isThenable(value)
    ? Promise.resolve(value).then(next, failed)
    : next(value);
}

/**
 * Calls a function that answers by a Node-style callback. A throw, an error
 * that the callback is given and a promise that rejects are all rejections.
 */
export function called<T>(
  call: (done: (error?: unknown, value?: T | null) => void) => unknown,
): Promise<T | null | undefined> {
  return new Promise((resolve, reject) => {
    const answer = call((error, value) =>
      error ? reject(error) : resolve(value)
    );
    // an async function may reject and never call back
    Promise.resolve(answer).catch(reject);
  });
}

/** Rejects with a `SessionStoreError` when the answer rejects or takes longer than `limit` ms. */
export function withTimeout<T>(
  answer: Promise<T>,
  operation: string,
  limit: number,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(toStoreError(operation, noAnswer(limit)));
    }, limit);
    answer.then((value) => {
      clearTimeout(timer);
      resolve(value);
    }, (cause) => {
      clearTimeout(timer);
      reject(toStoreError(operation, cause));
    });
  });
}

/** The answer, or `undefined` when it takes longer than `limit` ms. */
export function waitAtMost<T>(
  answer: Promise<T>,
  limit: number,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, limit, undefined);
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** The cause of an error for a store that takes longer than `limit` ms. */
export function noAnswer(limit: number): Error {
  return new DOMException(`no answer within ${limit} ms`, "TimeoutError");
}

/** Wraps the error of a store, unless it is wrapped already. */
export function toStoreError(operation: string, cause: unknown): Error {
  return cause instanceof SessionStoreError
    ? cause
    : new SessionStoreError(operation, { cause });
}
