/**
 * Any JavaScript string as text that a database can store.
 *
 * @module
 */

/**
 * Encodes a string for a text column. Databases cannot store every JavaScript
 * string: SQLite ends some texts at a NUL and PostgreSQL refuses it, and lone
 * surrogates become equal.
 */
export function toColumn(text: string): string {
  return /^"|\0|\p{Surrogate}/u.test(text) ? JSON.stringify(text) : text;
}

/** Decodes the result of {@linkcode toColumn}. */
export function fromColumn(text: string): string {
  return text.startsWith('"') ? JSON.parse(text) as string : text;
}
