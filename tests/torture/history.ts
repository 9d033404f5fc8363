/** What a client of a tortured cluster has sent and was answered, and what must be true of it. */

/** The data of the sessions. */
export interface Tortured {
  /** Names the login that began the session. */
  login?: string;
  user?: string;
  /** The tokens that transactions have appended. */
  list?: string[];
  /** `k-<token>`: those that plain requests have set. */
  [key: `k-${string}`]: 1;
}

/** One operation of one user's browser. */
export interface Operation {
  readonly kind:
    | "login"
    | "append"
    | "patch"
    | "regenerate"
    | "read"
    | "destroy"
    | "flush";
  readonly user: string;
  readonly node: number;
  readonly token?: string;
  /** When it was sent and answered, in ms of one clock. */
  readonly from: number;
  to: number;
  /** Whether it was answered; without an answer it may have happened or not. */
  ok: boolean;
  /** The login of the session that it met; `undefined` for a guest. */
  login?: string | undefined;
  /** The tokens that a read has returned. */
  tokens?: readonly string[];
}

/** Something that must not be. */
export interface Fault {
  readonly what: string;
  readonly user: string;
  readonly operations: readonly Operation[];
}

/** The faults in the history of one user. */
export function faultsOf(history: readonly Operation[]): Fault[] {
  return [
    ...lostUpdates(history),
    ...inventedUpdates(history),
    ...usesAfterTheEnd(history),
  ];
}

const isWrite = ({ kind }: Operation) => kind === "append" || kind === "patch";

/** A read that began after a write was answered, in the same session, shows it. */
function lostUpdates(history: readonly Operation[]): Fault[] {
  const reads = history.filter(({ kind, ok }) => kind === "read" && ok);
  return history
    .filter((write) => isWrite(write) && write.ok && write.login)
    .flatMap((write) => {
      const read = reads.find(({ from, login, tokens }) =>
        from > write.to && login === write.login &&
        !tokens!.includes(write.token!)
      );
      return read
        ? [faultOf("a write that was answered is lost", write, read)]
        : [];
    });
}

/** What a read shows was written, once, before the read ended. */
function inventedUpdates(history: readonly Operation[]): Fault[] {
  const writes = new Map(
    history.filter(isWrite).map((write) => [write.token, write]),
  );
  return history.filter(({ kind, ok }) => kind === "read" && ok)
    .flatMap((read) => {
      const tokens = read.tokens!;
      const wrong = tokens.find((token, i) => {
        const write = writes.get(token);
        return !write || write.from > read.to || tokens.indexOf(token) !== i;
      });
      return wrong === undefined
        ? []
        : [faultOf(`${wrong} was never written, or twice`, read)];
    });
}

/** Nothing that was sent after an end was answered meets a session from before the end. */
function usesAfterTheEnd(history: readonly Operation[]): Fault[] {
  const logins = history.filter(({ kind }) => kind === "login");
  return history.filter(({ kind, ok }) =>
    ok && (kind === "destroy" || kind === "flush")
  ).flatMap((end) => {
    const before = new Set(
      logins.filter(({ to }) => to < end.from).map(({ login }) => login),
    );
    const use = history.find(({ from, ok, login, kind }) =>
      ok && from > end.to && kind !== "login" && before.has(login)
    );
    return use ? [faultOf("a session is used after its end", end, use)] : [];
  });
}

function faultOf(what: string, ...operations: Operation[]): Fault {
  return { what, user: operations[0]!.user, operations };
}

/** The operations around a fault, one a line, by time. */
export function timeline(
  history: readonly Operation[],
  { what, operations }: Fault,
): string {
  const [start] = history;
  const logins = new Set(operations.map(({ login }) => login));
  const lines = history
    .filter((operation) =>
      operations.includes(operation) || logins.has(operation.login) ||
      operation.kind === "destroy" || operation.kind === "flush" ||
      !operation.ok
    )
    .map((operation) => {
      const { kind, node, token = "", from, to, ok, login = "guest" } =
        operation;
      const at = (ms: number) => (ms - start!.from).toFixed(0).padStart(6);
      const mark = operations.includes(operation) ? ">" : " ";
      const shown = operation.tokens ? ` [${operation.tokens.join(" ")}]` : "";
      return `${mark}${at(from)}${at(to)} node ${node} ${kind} ${token} ` +
        (ok ? `→ ${login}${shown}` : "→ no answer");
    });
  return `${what}\n${lines.join("\n")}`;
}
