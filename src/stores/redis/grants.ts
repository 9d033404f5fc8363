/**
 * The leases that callers of this store hold. A caller names its lease by one
 * token; each request for it asks for a grant of another name, and only the
 * grant that was received can be committed, on the version that it came with.
 *
 * @module
 */
import type { StoredRecord, Version } from "../../api/store.ts";

/** A lease that was granted. */
export interface Grant {
  /** The name under which Redis has it. */
  readonly name: string;
  /** The version of the session when it was granted; `""` where it is not known. */
  readonly version: string;
  /** The user of the session: its index entry need not be written again. */
  readonly user: string | undefined;
  /** Whether `user` is known. */
  readonly indexed: boolean;
}

/** How many leases are recorded; a lease that was dropped counts as lost if its caller had to wait. */
const MAX_GRANTS = 100_000;

/** The granted leases, by token. */
export class Grants {
  readonly #grants = new Map<string, Grant>();

  /** Records a lease. */
  add(token: string, name: string, record: StoredRecord): void {
    const { version, user } = record;
    const grant = { name, version: String(version), user, indexed: true };
    this.#grants.set(token, grant);
    if (this.#grants.size > MAX_GRANTS) {
      this.#grants.delete(this.#grants.keys().next().value!);
    }
  }

  /** Whether this grant is in use. */
  has(token: string, name: string): boolean {
    return this.#grants.get(token)?.name === name;
  }

  /** The lease of a token. */
  find(token: string): Grant {
    return this.#grants.get(token) ??
      { name: token, version: "", user: undefined, indexed: false };
  }

  /** The lease of a token, which is released. */
  take(token: string): Grant {
    const grant = this.find(token);
    this.#grants.delete(token);
    return grant;
  }

  /** Records that the session has another id, record and version. */
  moved(token: string, version: Version, user: string | undefined): void {
    const grant = this.#grants.get(token);
    if (!grant) return;
    const { name } = grant;
    const moved = { name, version: String(version), user, indexed: true };
    this.#grants.set(token, moved);
  }
}

/** The name of the grant that a request asks for. */
export function grantName(token: string, request: number): string {
  return request === 0 ? token : `${token}/${request}`;
}

/** The token of a grant. */
export function tokenOf(name: string): string {
  const end = name.indexOf("/");
  return end < 0 ? name : name.slice(0, end);
}
