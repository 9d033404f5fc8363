/** What must hold of every history. */
import type { Attempt, Journal, Lineage } from "./journal.ts";
import type { ServerSocket, SimulatedNode } from "./node.ts";
import type { Truth } from "./stores.ts";
import type { World } from "./world.ts";

/** What must hold when nothing happens any more, and sessions live. */
export function checkRest(world: World): void {
  const { journal, central, program } = world;
  const truth = central.truth();
  for (const { by } of journal.open) {
    journal.violation(`${by} was never answered`);
  }
  for (const one of truth) checkRecord(journal, one, program.setup.user);
  const clients = new Map<string, string>();
  for (const { sid, clientId } of truth) {
    if (clientId === undefined) continue;
    const other = clients.get(clientId);
    if (other !== undefined && !isExcused(world, clientId)) {
      journal.violation(`${sid} and ${other} are both of client ${clientId}`);
    }
    clients.set(clientId, sid);
  }
  for (const node of world.nodes) {
    for (const socket of node.sockets) {
      checkSocket(world, node, socket, truth);
    }
  }
}

/** What must hold when all sessions have ended. */
export function checkEnd(world: World): void {
  const { journal, central } = world;
  for (const { sid } of central.truth()) {
    journal.violation(`${sid} outlives its maxAge`);
  }
  for (const node of world.nodes) {
    const { sessions, sockets, undos } = node.bridge.stats();
    if (sessions > 0) {
      journal.violation(`${node.name} keeps ${sessions} sessions`);
    }
    if (sockets > 0) journal.violation(`${node.name} keeps ${sockets} sockets`);
    if (undos > 0) journal.violation(`${node.name} keeps ${undos} undos`);
    for (const room of node.rooms) {
      journal.violation(`${node.name} keeps the room ${room}`);
    }
    checkReports(journal, node);
  }
}

/** What must hold of all that was seen and acknowledged. */
export function checkHistory(journal: Journal): void {
  const mayFork = !journal.isAtomic && journal.failures.includes("all");
  for (const lineage of journal.lineages) {
    // after a death, a basic store may have the session under two ids, or get a write that was on its way
    const isLate = journal.failures.some((name) =>
      lineage.ids.some((sid) => name.startsWith(`set ${sid} `))
    );
    if (mayFork && (isLate || lineage.ids.length > 1)) continue;
    // one that arrives later than twice storeTimeout overwrites what was written before
    const mayOverwrite = !journal.isAtomic && isLate;
    if (!mayOverwrite) {
      checkSerial(journal, lineage);
      checkKept(journal, lineage);
    }
    checkEnded(journal, lineage);
  }
  checkHolds(journal);
}

/** The data of a live session at rest; its tokens count as the last that is seen. */
function checkRecord(
  journal: Journal,
  { sid, data, user }: Truth,
  users: boolean,
): void {
  journal.saw("the store at rest", sid, data, journal.now, false);
  if (users && user !== data.user) {
    journal.violation(`${sid} is ${data.user}'s, and indexed as ${user}'s`);
  }
}

/**
 * Whether a client may be left with two sessions: where the store has failed,
 * the session that a begin replaces may be lost with its answer; and a session
 * that is bound to another client does not end that client's in one step.
 */
function isExcused({ journal }: World, clientId: string): boolean {
  return journal.failures.length > 0 || journal.rebound.has(clientId);
}

function checkSocket(
  { journal, program }: World,
  node: SimulatedNode,
  socket: ServerSocket,
  truth: readonly Truth[],
): void {
  const { io, bridge, name } = node;
  const { id, sessionId, clientId } = socket;
  const record = truth.find(({ sid }) => sid === sessionId);
  const what = `socket ${id} on ${name}`;
  // an end that failed, and came to pass in a store that reports none
  const isUnknown = program.setup.store === "basic" &&
    !journal.ends.some(({ lineage }) => lineage.ids.includes(sessionId!));
  if (sessionId !== undefined && !record && !isUnknown) {
    journal.violation(`${what} is in ${sessionId}, which is not alive`);
  }
  if (record && record.clientId !== clientId) {
    journal.violation(
      `${what} follows ${clientId}, and is in the session of ${record.clientId}`,
    );
  }
  const { rooms } = io.of("/").adapter;
  const isIn = (room: object) =>
    [...(Reflect.get(room, "rooms") as Set<string>)]
      .some((one) => rooms.get(one)?.has(id));
  for (const { sid, clientId, user } of truth) {
    const expected = sid === sessionId;
    const isClients = record !== undefined && record.clientId === clientId;
    if (isIn(bridge.toSession(sid)) !== expected) {
      journal.violation(
        `${what} is ${expected ? "not " : ""}in the room of ${sid}`,
      );
    }
    if (
      clientId !== undefined && isIn(bridge.toClient(clientId)) !== isClients
    ) {
      journal.violation(
        `${what} is ${
          isClients ? "not " : ""
        }in the room of client ${clientId}`,
      );
    }
    if (user !== undefined && expected && !isIn(bridge.toUser(user))) {
      journal.violation(`${what} is not in the room of user ${user}`);
    }
  }
}

/** One start and one end on each node that knows a session. */
function checkReports(journal: Journal, { name }: SimulatedNode): void {
  const own = journal.reports.filter(({ node }) => node === name);
  for (const sid of new Set(own.map(({ sid }) => sid))) {
    const reports = own.filter((one) => one.sid === sid);
    const types = reports.map(({ type }) => type).join(" ");
    if (types === "start end") continue;
    const text = reports.map(({ type, why, at }) => `${type} ${why} at ${at}`);
    journal.violation(`${name} reports of ${sid}: ${text.join(", ")}`);
  }
}

/**
 * Serializability: what transactions saw are prefixes of one list, each
 * committed token is in it once, no refused one is, and what was acknowledged
 * before a call is seen by it.
 */
function checkSerial(journal: Journal, lineage: Lineage): void {
  const sights = journal.sights.filter((sight) => sight.lineage === lineage);
  for (const { by, n, tokens, at } of sights) {
    if (n !== tokens.length) {
      journal.violation(`${by} at ${at} sees n ${n}, and ${tokens}`);
    }
  }
  const attempts = journal.attempts.filter((one) => one.lineage === lineage);
  const joins = new Set(
    attempts.filter(({ joined }) => joined).map(({ sight }) => sight),
  );
  // what a joined call sees is not committed yet
  const committed = sights.filter((sight) => !joins.has(sight));
  const longest = committed.reduce<readonly string[]>(
    (longest, { tokens }) => tokens.length > longest.length ? tokens : longest,
    [],
  );
  for (const { by, at, tokens } of committed) {
    const isPrefix = tokens.every((token, i) => token === longest[i]);
    if (isPrefix) continue;
    journal.violation(
      `${by} at ${at} sees ${tokens} of ${lineage.name}, which another saw as ${longest}`,
    );
    return;
  }
  for (const attempt of attempts) {
    const { token, by, outcome } = attempt;
    const standing = standingOf(attempt);
    const seen = longest.filter((one) => one === token).length;
    if (seen > 1) journal.violation(`${by} ${token} is stored ${seen} times`);
    // a session that has ended may have had it until then
    const root = rootOf(attempt);
    const isStored = root.outcome === "ended"
      ? committed.some(({ asked, tokens }) =>
        asked > root.settled! && tokens.includes(token)
      )
      : seen > 0;
    if (standing === "refused" && isStored) {
      journal.violation(
        `${by} ${token} is stored, although it was ${outcome}: ${attempt.code}`,
      );
    }
    if (standing !== "ok") continue;
    const { settled } = rootOf(attempt);
    for (const { by: reader, asked, tokens } of committed) {
      if (asked <= settled! || tokens.includes(token)) continue;
      journal.violation(
        `${by} ${token} of ${lineage.name} was acknowledged at ${settled}, and ${reader} at ${asked} sees ${tokens}`,
      );
      break;
    }
  }
}

/** Whether a call, and all that it joined, was acknowledged; ends aside. */
function standingOf(attempt: Attempt): "ok" | "refused" | "unknown" {
  for (let one: Attempt | undefined = attempt; one; one = one.joined) {
    const { outcome } = one;
    if (outcome === "refused" || outcome === "ended") return "refused";
    if (outcome !== "ok" || one.ends) return "unknown";
  }
  return "ok";
}

function rootOf(attempt: Attempt): Attempt {
  while (attempt.joined) attempt = attempt.joined;
  return attempt;
}

/** Keys that requests wrote are seen by all that comes later. */
function checkKept(journal: Journal, lineage: Lineage): void {
  const joins = new Set(
    journal.attempts.filter(({ joined }) => joined).map(({ sight }) => sight),
  );
  const sights = journal.sights.filter((sight) =>
    sight.lineage === lineage && !joins.has(sight)
  );
  for (const { by, key, lineage: own, at } of journal.kept) {
    if (own !== lineage) continue;
    const blind = sights.find(({ asked, keys }) =>
      asked > at && !keys.includes(key)
    );
    if (!blind) continue;
    journal.violation(
      `${by} wrote ${key} to ${lineage.name}, acknowledged at ${at}, and ${blind.by} at ${blind.asked} does not see it`,
    );
  }
}

/** Nothing that is asked after an acknowledged end sees the session. */
function checkEnded(journal: Journal, lineage: Lineage): void {
  const end = journal.ends.filter((end) => end.lineage === lineage)
    .sort((a, b) => a.at - b.at)[0];
  if (!end) return;
  // what joins a call on another node, which cannot know of the end yet, works on that call's copy
  const excused = new Set(
    journal.attempts.filter(({ joined, node }) => joined && node !== end.node)
      .map(({ sight }) => sight),
  );
  const sight = journal.sights.find((sight) =>
    sight.lineage === lineage && sight.asked > end.at && !excused.has(sight)
  );
  if (!sight) return;
  journal.violation(
    `${end.by} ended ${lineage.name}, acknowledged at ${end.at}, and ${sight.by} at ${sight.asked} sees it`,
  );
}

/** A call whose hold is gone, or whose session has ended, when its handler returns is not acknowledged. */
function checkHolds(journal: Journal): void {
  for (const attempt of journal.attempts) {
    const { by, token, lineage, returned, outcome } = attempt;
    if (outcome !== "ok" || attempt.ends) continue;
    const root = rootOf(attempt);
    const ends = journal.ends.filter((end) =>
      end.lineage === lineage && end.at < returned!
    );
    // a call that was made in its own handler may end the session
    const isOwn = journal.attempts.some((other) =>
      rootOf(other) === root &&
      journal.ends.some(({ by }) => by === `${other.by} ${other.token}`)
    );
    const [end] = ends;
    if (end && !isOwn) {
      journal.violation(
        `${by} ${token} returned at ${returned}, after ${end.by} had ended its session, and was acknowledged`,
      );
    }
    // only a root that was refused by the store had lost its lease: another call may begin with one that it has lost itself
    const passedOn = attempt.joined && root.code === "SESSION_TIMEOUT" &&
      journal.attempts.find((other) =>
        other !== root && !other.joined && other.lineage === root.lineage &&
        other.began !== undefined && other.began > root.began! &&
        other.began < returned!
      );
    if (!passedOn) continue;
    journal.violation(
      `${by} ${token} joined ${root.token} and returned at ${returned}, after ${passedOn.token} was given the session, and was acknowledged`,
    );
  }
}
