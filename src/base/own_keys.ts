/**
 * Own keys of objects.
 *
 * @module
 */

/**
 * Whether an object itself has a property. `Object.hasOwn` does the same, but
 * dnt adds a polyfill on the global object to each module that names it.
 */
export function hasOwn(object: object, key: PropertyKey): boolean {
  return Object.prototype.hasOwnProperty.call(object, key);
}
