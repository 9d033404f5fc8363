/**
 * Replacing a method of an object that belongs to another package, so that it
 * can be undone.
 *
 * @module
 */

/**
 * Replaces a method of one object until the replacement is undone. What has
 * replaced the replacement by then stays, and reaches the original through it.
 *
 * @param make gets the original, bound to the object
 * @returns undoes it
 */
export function override<Args extends unknown[], R>(
  target: object,
  name: string,
  make: (original: (...args: Args) => R) => (...args: Args) => R,
): () => void {
  const before = Object.getOwnPropertyDescriptor(target, name);
  // the prototype's is looked up at each call: it may be replaced as well
  const original = (...args: Args): R =>
    Reflect.apply(
      before ? before.value : Reflect.get(Object.getPrototypeOf(target), name),
      target,
      args,
    );
  let current = make(original);
  const value = (...args: Args): R => current(...args);
  Object.defineProperty(target, name, {
    configurable: true,
    writable: true,
    value,
  });
  return () => {
    current = original;
    if (Reflect.get(target, name) !== value) return;
    if (before) Object.defineProperty(target, name, before);
    else Reflect.deleteProperty(target, name);
  };
}
