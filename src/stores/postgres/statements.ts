/**
 * The statements of {@linkcode PostgresStore}, one for each operation.
 *
 * Conditions are on the row's own columns: under READ COMMITTED an UPDATE that
 * had to wait for another checks them again on the row as it is then, while
 * whatever a CTE or another table contributes is as it was before the wait.
 *
 * @module
 */
import { FIELD_NAMES, PRUNE_UNIT, READ_NAMES } from "./record.ts";
import type { Tables } from "./schema.ts";

/** The server's time, ms since the epoch; `now()` would be the time before a wait for a lock. */
export const NOW = "(extract(epoch FROM clock_timestamp())::float8 * 1000)";

/** What the names of channels begin with. */
export const CHANNEL = "koa_io_session_";

/** How long the first waiter of the queue may take to claim a free session before the next process may, in ms. */
export const SKIP_MS = 500;

const FIELDS = FIELD_NAMES.join(", ");

/** A record as `decode` takes it. */
const RECORD = READ_NAMES.join(", ");

/** The columns that hold no record. */
const OWN = "sid, hash, birth, version, bound";

/** `field = $n` for each field of a record. */
function assignments(first: number): string {
  return FIELD_NAMES.map((name, i) => `${name} = $${first + i}`).join(", ");
}

function parameters(first: number): string {
  return FIELD_NAMES.map((_, i) => `$${first + i}`).join(", ");
}

/** The new `bound`, where the client is the parameter that `first` precedes by its place. */
function bound(first: number): string {
  const client = `$${first + FIELD_NAMES.indexOf("client_id")}`;
  return `bound = CASE WHEN s.client_id IS NOT DISTINCT FROM ${client} THEN s.bound ELSE ${NOW} END`;
}

/** Lets the commit of this transaction not wait for the disk. */
const ASYNC = "set_config('synchronous_commit', 'off', true) AS commits";

const IS_FREE = `(s.token IS NULL OR s.lease_until <= ${NOW})`;

/** The node of an entry of a queue, and its number there. */
const [NODE, NUMBER] = ["split_part(e, '.', 1)", "split_part(e, '.', 2)"];

/** Notifies the first waiter, if it is one of another node. */
function notifyFirst(queue: string, node: string): string {
  const [of, number] = [NODE, NUMBER].map((part) =>
    part.replace("(e,", `(${queue}[1],`)
  );
  return `CASE WHEN ${of} <> ${node} THEN pg_notify('${CHANNEL}' || ${of}, ${number}) IS NULL END`;
}

/** Notifies all waiters of other nodes. */
function notifyAll(queue: string, node: string): string {
  return `(SELECT count(pg_notify('${CHANNEL}' || ${NODE}, ${NUMBER}))
    FROM unnest(${queue}) AS u (e) WHERE ${NODE} <> ${node})`;
}

/** Replaces an expired session of the same id; for an INSERT into the table as `s`. */
function orReplaceExpired(): string {
  const set = ["hash", "birth", "version", "bound", ...FIELD_NAMES]
    .map((name) => `${name} = excluded.${name}`);
  return `ON CONFLICT (sid) DO UPDATE SET ${
    set.join(", ")
  }, token = NULL, lease_until = 0, queue = '{}', woken = '{}'
  WHERE s.expires <= ${NOW}`;
}

/** The texts of the statements. */
export type Statements = ReturnType<typeof statementsOf>;

/** The statements on some tables. */
export function statementsOf({ sessions, former, locks }: Tables) {
  const keepNote = `ON CONFLICT (sid) DO UPDATE
    SET moved_to = excluded.moved_to, at = excluded.at, note = excluded.note`;

  // the entries of the queue before $4, or all
  const ahead =
    `s.queue[1:coalesce(array_position(s.queue, $4::text), cardinality(s.queue) + 1) - 1]`;
  const nodesAhead =
    `(SELECT count(DISTINCT ${NODE}) FROM unnest(${ahead}) AS u (e))`;
  const mayClaim =
    `(s.token = $2::text OR (s.token IS NULL OR s.lease_until <= c.now)
    AND (cardinality(${ahead}) = 0 OR s.lease_until + ${SKIP_MS} * ${nodesAhead} <= c.now))`;

  /** The condition of a move, by its kind. */
  const fences = {
    expected: `s.version = $5 AND ${IS_FREE}`,
    token: "s.token = $5",
  };
  const move = (fence: keyof typeof fences) =>
    `WITH moved AS (
  UPDATE ${sessions} AS s SET sid = $1, hash = $2, version = $3, ${
      fence === "expected" ? "token = NULL, " : ""
    }woken = s.queue, queue = '{}', ${bound(9)}, ${assignments(9)}
  WHERE s.sid = $4 AND s.expires > ${NOW} AND ${fences[fence]}
  RETURNING s.woken
), noted AS (
  INSERT INTO ${former} (sid, moved_to, at, note) SELECT $4::text, $1::text, $6::float8, $7::text FROM moved ${keepNote}
)
SELECT woken AS queue, ${notifyAll("woken", "$8")} AS notified FROM moved`;

  return {
    read: `SELECT ${RECORD} FROM ${sessions} WHERE sid = $1 AND expires > $2`,

    /** `sid hash version …record` → a row if it was written */
    insert:
      `INSERT INTO ${sessions} AS s (${OWN}, ${FIELDS}) VALUES ($1, $2, $3, $3, ${NOW}, ${
        parameters(4)
      })
${orReplaceExpired()} RETURNING version`,

    /** `sid expected version …record` → a row if it was written */
    update: `UPDATE ${sessions} AS s
SET version = $3, token = NULL, ${bound(4)}, ${assignments(4)}
WHERE s.sid = $1 AND s.version = $2 AND s.expires > ${NOW} AND ${IS_FREE}
RETURNING s.version`,

    /** `sid expires lastUsed` → whether the session is alive */
    extend: `WITH extended AS (
  UPDATE ${sessions} AS s SET
    expires = greatest(s.expires, least($2::float8, s.absolute_end)),
    prune_after = greatest(s.prune_after, least(ceil(least($2::float8, s.absolute_end) / ${PRUNE_UNIT}), 2147483647)::integer),
    last_used = greatest(s.last_used, $3::float8)
  WHERE s.sid = $1 AND s.expires > ${NOW}
    AND (least($2::float8, s.absolute_end) > s.expires OR $3::float8 > coalesce(s.last_used, '-Infinity'))
  RETURNING 1
)
SELECT 1 AS alive FROM extended UNION ALL
SELECT 1 FROM ${sessions} WHERE sid = $1 AND expires > ${NOW} LIMIT 1`,

    /** `sid at note node` → the queue, if there was a session */
    destroy: `WITH ended AS (
  DELETE FROM ${sessions} WHERE sid = $1 AND expires > ${NOW} RETURNING queue
), noted AS (
  INSERT INTO ${former} (sid, moved_to, at, note)
  SELECT $1::text, NULL, $2::float8, $3::text FROM ended WHERE $3::text IS NOT NULL ${keepNote}
)
SELECT queue, ${notifyAll("queue", "$4")} AS notified FROM ended`,

    /** `to hash version from expected at note node …record` → the queue, if it was moved */
    moveExpected: move("expected"),

    /** `to hash version from token at note node …record` → the queue, if it was moved */
    moveLeased: move("token"),

    /** `sid`: deletes an expired session whose id is to be used again. */
    deleteExpired:
      `DELETE FROM ${sessions} WHERE sid = $1 AND expires <= ${NOW} RETURNING 1 AS deleted`,

    /** `sid` → its version, its token and whether it is free, if it is alive */
    state: `SELECT s.version, s.token, ${IS_FREE} AS free
FROM ${sessions} AS s WHERE s.sid = $1 AND s.expires > ${NOW}`,

    former: `SELECT moved_to, at, note FROM ${former} WHERE sid = $1`,

    byClient: `SELECT sid FROM ${sessions}
WHERE client_id = $1 AND expires > ${NOW} ORDER BY bound DESC LIMIT 1`,

    byUser:
      `SELECT sid FROM ${sessions} WHERE user_id = $1 AND expires > ${NOW}`,

    /** `sid limit`: the live sessions with the next ids */
    after: `SELECT sid, ${RECORD} FROM ${sessions}
WHERE sid > $1 AND expires > ${NOW} ORDER BY sid LIMIT $2`,

    byHash: `SELECT sid FROM ${sessions} WHERE hash = $1 AND expires > ${NOW}`,

    versions:
      `SELECT sid, version FROM ${sessions} WHERE sid = ANY($1::text[]) AND expires > ${NOW}`,

    /**
     * `sid token hold` → the record, if the session is free and has no queue.
     * A lease that a crash of the server undoes is lost: its commit need not
     * wait for the disk.
     */
    take: `UPDATE ${sessions} SET token = $2, lease_until = ${NOW} + $3
WHERE sid = $1 AND (token IS NULL OR lease_until <= ${NOW}) AND queue = '{}' AND expires > ${NOW}
RETURNING ${RECORD}, ${ASYNC}`,

    /**
     * `sid token hold entry birth` → whether it is granted, the record if it
     * is, and else in how many ms it may be granted without a notification. An
     * empty entry does not queue.
     */
    acquire: `UPDATE ${sessions} AS s SET
  token = CASE WHEN ${mayClaim} THEN $2 ELSE s.token END,
  lease_until = CASE WHEN ${mayClaim} THEN c.now + $3::float8 ELSE s.lease_until END,
  queue = CASE
    WHEN ${mayClaim} THEN s.queue[coalesce(array_position(s.queue, $4::text), cardinality(s.queue)) + 1:]
    WHEN $4::text = '' OR $4::text = ANY(s.queue) THEN s.queue
    ELSE array_append(s.queue, $4::text) END
FROM (SELECT ${NOW} AS now) AS c
WHERE s.sid = $1 AND s.expires > c.now AND ($5::text IS NULL OR s.birth = $5)
RETURNING s.token IS NOT DISTINCT FROM $2 AS granted, ${ASYNC},
  s.lease_until + ${SKIP_MS} * ${nodesAhead} - c.now AS rest, s.birth, ${
      READ_NAMES.map((name) =>
        name === "data"
          ? "CASE WHEN s.token IS NOT DISTINCT FROM $2 THEN s.data END AS data"
          : `s.${name}`
      ).join(", ")
    }`,

    /** `sid token node version …record` → the queue, if it was written */
    commit: `UPDATE ${sessions} AS s
SET version = $4, token = NULL, lease_until = ${NOW}, ${bound(5)}, ${
      assignments(5)
    }
WHERE s.sid = $1 AND s.token = $2 AND s.expires > ${NOW}
RETURNING s.queue, ${notifyFirst("s.queue", "$3")} AS notified`,

    /** `sid token node` → the version and the queue, if the lease was the token's */
    release: `WITH done AS (
  UPDATE ${sessions} AS s SET token = NULL, lease_until = ${NOW}
  WHERE s.sid = $1 AND s.token = $2
  RETURNING s.version, s.queue, s.expires > ${NOW} AS alive
)
SELECT version, alive, queue, CASE WHEN alive THEN ${
      notifyFirst("queue", "$3")
    } END AS notified,
  CASE WHEN NOT alive THEN ${
      notifyAll("queue", "$3")
    } END AS all_notified FROM done`,

    /** `sid token node entry`: leaves the queue, or releases the lease → the queue, where the session is free */
    leave: `WITH done AS (
  UPDATE ${sessions} AS s SET queue = array_remove(s.queue, $4::text),
    token = nullif(s.token, $2),
    lease_until = CASE WHEN s.token = $2 THEN ${NOW} ELSE s.lease_until END
  WHERE s.sid = $1 AND (s.token = $2 OR $4::text = ANY(s.queue))
  RETURNING s.queue, ${IS_FREE} AS free
)
SELECT queue, ${notifyFirst("queue", "$3")} AS notified FROM done WHERE free`,

    /** `sids` → of each live session the birth, the queue, and since when it is free, if it is, in ms */
    peek: `SELECT s.sid, s.birth, s.queue,
  CASE WHEN ${IS_FREE} THEN ${NOW} - s.lease_until END AS free
FROM ${sessions} AS s WHERE s.sid = ANY($1::text[]) AND s.expires > ${NOW}`,

    /** `name token hold` → a row if it was taken */
    tryLock:
      `INSERT INTO ${locks} AS l (name, token, until) VALUES ($1, $2, ${NOW} + $3)
ON CONFLICT (name) DO UPDATE SET token = excluded.token, until = excluded.until
WHERE l.until <= ${NOW} OR l.token = excluded.token RETURNING 1 AS taken`,

    unlock: `DELETE FROM ${locks} WHERE name = $1 AND token = $2`,

    /** `unit before limit` → how many it deleted */
    pruneSessions: prune(
      sessions,
      "prune_after <= $1 AND expires <= $2",
      "$3",
    ),

    /** `before limit` → how many it deleted */
    pruneFormer: prune(former, "at <= $1", "$2"),

    /** `limit` → how many it deleted */
    pruneLocks: prune(locks, `until <= ${NOW}`, "$1"),
  } as const;
}

/** Rows that another transaction holds are skipped: a clean-up never waits. */
function prune(table: string, condition: string, limit: string): string {
  return `WITH gone AS (
  DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM ${table} WHERE ${condition} LIMIT ${limit} FOR UPDATE SKIP LOCKED))
  RETURNING 1
)
SELECT count(*) AS deleted FROM gone`;
}

/** The fields that {@linkcode beginStatement} reads from JSON. */
const BEGIN_COLUMNS =
  `sid text, hash text, version text, restricted boolean, replaces text[],
    data text, details text, expires float8, prune_after integer, absolute_end float8, last_used float8,
    client_id text, user_id text, arrived float8`;

/**
 * Begins a session for a client, on which a lock is held: the statement before
 * it in the same transaction takes the lock, so that this one sees what the
 * begin before has committed. Statements in one message have no parameters:
 * the values are JSON in hexadecimal digits.
 *
 * → `status`, the session `before`, and the number `written`
 */
export function beginStatement({ sessions }: Tables, hex: string): string {
  return `WITH r AS (
  SELECT * FROM json_to_record(convert_from(decode('${hex}', 'hex'), 'UTF8')::json) AS r (${BEGIN_COLUMNS})
), last AS (
  SELECT s.sid, s.arrived, s.bound FROM ${sessions} AS s
  WHERE s.client_id = (SELECT client_id FROM r) AND s.expires > ${NOW}
  ORDER BY s.bound DESC LIMIT 1
), decided AS (
  SELECT CASE
    WHEN EXISTS (SELECT FROM ${sessions} AS s WHERE s.sid = r.sid AND s.expires > ${NOW}) THEN 'taken'
    WHEN last.arrived > r.arrived THEN 'superseded'
    WHEN last.sid IS NOT NULL AND r.restricted AND last.sid <> ALL (r.replaces) THEN 'occupied'
    ELSE 'begun' END AS status, last.sid AS before, last.bound
  FROM r LEFT JOIN last ON true
), written AS (
  INSERT INTO ${sessions} AS s (${OWN}, ${FIELDS})
  SELECT r.sid, r.hash, r.version, r.version, greatest(${NOW}, decided.bound + 1), ${
    FIELD_NAMES.map((name) => `r.${name}`).join(", ")
  }
  FROM r, decided WHERE decided.status = 'begun'
  ${orReplaceExpired()} RETURNING 1
)
SELECT status, before, (SELECT count(*) FROM written) AS written FROM decided`;
}
