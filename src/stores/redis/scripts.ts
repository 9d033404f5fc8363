/**
 * The Lua scripts: one for each operation, so that each is atomic.
 *
 * A session is one hash: `d` data, `m` the binding (JSON), `v` version, `e` end,
 * `a` absolute end, `t` last use, `b` the session that it replaced at its begin,
 * `x` up to which `e` its index entries last, `r` the last grant that was
 * released without a write; and during a lease `l` the grant, `u` the lease's
 * end, `n` the node of the holder. Times are ms since the epoch by Redis's own
 * clock. They are never formatted by Lua, which would write 1e+12.
 *
 * Its waiters are in a list of tokens, in order of arrival, and in a hash, by
 * token: `end hold node grant`. A waiter that leaves is removed from the hash,
 * and the list is trimmed at its head: the cost of a waiter does not depend on
 * their number. A grant is the token, `/` and the number of the request, so that
 * each request of a waiter asks for another one.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** A script, and the digest under which Redis caches it. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

/** Joins the parts of a script. */
export function script(...parts: readonly string[]): Script {
  const lua = parts.join("\n");
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/** `now`, and `ms`, which formats times. */
export const CLOCK = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ms(n) return string.format('%.0f', n) end
`;

/**
 * A message has one line for each of kind, grant and session id, and with `g`
 * (granted) the record. A record too long for a subscriber's buffer is replaced
 * by `a`: ask again. In a cluster (`ARGV[2]`) the number of receivers is
 * unknown. A script cannot be rolled back, hence pcall: a missing permission to
 * publish must not leave half of a commit.
 *
 * A node whose lease ran out may be frozen, with further waiters in the queue.
 * The hash of waiters has a mark for it (its name after a space), and its
 * waiters are passed over, until it asks for the session again.
 */
export const QUEUE = `
local record, queue, waiters, channel, cluster, sid = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
local function notify(node, token, kind)
  local lines = { kind, token, sid }
  if kind == 'g' then
    if redis.call('HSTRLEN', record, 'd') > 1048576 then
      lines[1] = 'a'
    else
      for _, text in ipairs(redis.call('HMGET', record, 'v', 'e', 'a', 't', 'm', 'd')) do
        lines[#lines + 1] = text or ''
      end
    end
  end
  local receivers = redis.pcall('PUBLISH', channel .. node, table.concat(lines, '\\n'))
  return cluster == '1' or (type(receivers) == 'number' and receivers > 0)
end
local function lease(token, hold, node)
  redis.call('HSET', record, 'l', token, 'u', ms(now + hold), 'n', node)
end
-- grants the lease to the first waiter that receives it; to the caller without a message
local function grant(caller)
  while true do
    local name = redis.call('LPOP', queue)
    if not name then
      redis.call('DEL', waiters)
      return caller
    end
    local entry = redis.call('HGET', waiters, name)
    if entry then
      redis.call('HDEL', waiters, name)
      if name == caller then return caller end
      local ends, hold, node, token = string.match(entry, '^(%d+) (%d+) (%S+) (%S*)$')
      if redis.call('HEXISTS', waiters, ' ' .. node) == 1 then
        notify(node, token, 'a')
      elseif tonumber(ends) > now then
        lease(token, hold, node)
        if notify(node, token, 'g') then return token end
      end
    end
  end
end
local function reject_all()
  for _, name in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    local entry = redis.call('HGET', waiters, name)
    if entry then
      local node, token = string.match(entry, '^%d+ %d+ (%S+) (%S*)$')
      notify(node, token, 'm')
    end
  end
  redis.call('DEL', queue, waiters)
end
local function release()
  local e = redis.call('HGET', record, 'e')
  if not e or tonumber(e) <= now then reject_all() end
  if not grant() then redis.call('HDEL', record, 'l', 'u', 'n') end
end
local function holds(l, name) return l and string.match(l, '^[^/]*') == name end
`;

/** `put(key, version, e, a, t, m, d, keep)` writes a record. */
export const PUT = `
local function put(key, version, e, a, t, m, d, keep)
  redis.call('HSET', key, 'v', version, 'e', e, 'a', a, 't', t, 'm', m, 'd', d)
  redis.call('PEXPIREAT', key, keep)
end
-- whether the index entries expire too early
local function stale(e, x) return (not x or tonumber(e) > tonumber(x)) and 1 or 0 end
`;

/**
 * `channel cluster sid token grant node hold wait` → missing, or the record, or
 * the remaining ms of the lease. A lease that was granted to an earlier request
 * of this waiter is replaced: only the last grant can be committed.
 */
export const ACQUIRE: Script = script(
  CLOCK,
  QUEUE,
  `
local name, token, node, hold, wait = ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local e, l, u, n = unpack(redis.call('HMGET', record, 'e', 'l', 'u', 'n'))
if not e or tonumber(e) <= now then return { 'm' } end
redis.call('HDEL', waiters, ' ' .. node)
local holder = l
if holds(l, name) and tonumber(u) > now then
  holder = name
elseif not l or tonumber(u) <= now then
  if l and n and n ~= node then redis.call('HSET', waiters, ' ' .. n, ms(now)) end
  holder = grant(name)
end
if holder == name then
  redis.call('HDEL', waiters, name)
  if l ~= token or tonumber(u) <= now then lease(token, hold, node) end
  local r = redis.call('HMGET', record, 'v', 'e', 'a', 't', 'm', 'd')
  return { 'g', r[1], r[2], r[3], r[4], r[5], r[6] }
end
if holder ~= l then u = redis.call('HGET', record, 'u') end
if wait > 0 then
  local entry = ms(now + wait) .. ' ' .. hold .. ' ' .. node .. ' ' .. token
  if redis.call('HSET', waiters, name, entry) == 1 then redis.call('RPUSH', queue, name) end
  for _, key in ipairs({ queue, waiters }) do
    if redis.call('PTTL', key) < wait then redis.call('PEXPIRE', key, wait) end
  end
end
return { 'w', tonumber(u) - now }`,
);

/**
 * `channel cluster sid grant granted-version` and, to write, `version e a t m d
 * keep` → status, version, stale, old `m`.
 */
export const COMMIT: Script = script(
  CLOCK,
  QUEUE,
  PUT,
  `
local token, granted, version = ARGV[4], ARGV[5], ARGV[6]
local e, l, v, m, x, r = unpack(redis.call('HMGET', record, 'e', 'l', 'v', 'm', 'x', 'r'))
if not e or tonumber(e) <= now then
  reject_all()
  return { 'm' }
end
if l ~= token then
  -- a client may send it again after a reconnection
  if version and v == version then return { 'd', v, 0, ARGV[10] } end
  if not version and r == token then return { 'd', v, 0, m } end
  return { 'l' }
end
if granted ~= '' and v ~= granted then
  release()
  return { 'l' }
end
if version then
  put(record, version, unpack(ARGV, 7, 12))
  e = ARGV[7]
else
  redis.call('HSET', record, 'r', token)
end
release()
return { 'd', version or v, stale(e, x), m }`,
);

/**
 * `channel cluster sid token grant`: leaves the queue, and releases a lease that
 * was granted too late; with a `grant` only that.
 */
export const LEAVE: Script = script(
  CLOCK,
  QUEUE,
  `
local name, token = ARGV[4], ARGV[5]
local l = redis.call('HGET', record, 'l')
if l and (l == token or token == '' and holds(l, name)) then release() end
if token ~= '' then return 1 end
redis.call('HDEL', waiters, name)
while true do
  local first = redis.call('LINDEX', queue, 0)
  if not first or redis.call('HEXISTS', waiters, first) == 1 then return 1 end
  redis.call('LPOP', queue)
end`,
);

/** `expected version e a t m d keep x` → written, stale, old `m`. */
export const WRITE: Script = script(
  CLOCK,
  PUT,
  `
local e, v, l, u, m, x = unpack(redis.call('HMGET', KEYS[1], 'e', 'v', 'l', 'u', 'm', 'x'))
local version = ARGV[2]
if v == version then return { 1, 0, m } end
local alive = e and tonumber(e) > now
if ARGV[1] == '' then
  if alive then return { 0 } end
  redis.call('DEL', KEYS[1])
  put(KEYS[1], version, unpack(ARGV, 3, 8))
  redis.call('HSET', KEYS[1], 'x', ARGV[9])
  return { 1, 0, ARGV[6] }
end
if not alive or v ~= ARGV[1] or (l and tonumber(u) > now) then return { 0 } end
-- an overdue holder loses its lease
if l then redis.call('HDEL', KEYS[1], 'l', 'u') end
put(KEYS[1], version, unpack(ARGV, 3, 8))
return { 1, stale(ARGV[3], x), m }`,
);

/** → `v e a t m d`, each null if there is no session, and `p`. */
export const READ: Script = script(
  `return redis.call('HMGET', KEYS[1], 'v', 'e', 'a', 't', 'm', 'd', 'p')`,
);

/**
 * `cursor count start`: what the names of keys begin with is given as a key, so
 * that a client adds its own prefix, and in a cluster as `start` → the next
 * cursor, the rests of the names
 */
export const SCAN: Script = script(
  `
local start = KEYS[1] or ARGV[3]
local pattern = start:gsub('[%*%?%[%]%^\\\\]', '\\\\%0') .. '*'
local found = redis.call('SCAN', ARGV[1], 'MATCH', pattern, 'COUNT', ARGV[2])
local rests = {}
for i, key in ipairs(found[2]) do rests[i] = key:sub(#start + 1) end
return { found[1], rests }`,
);

/** `e keep absolute-keep t` → alive, stale, `e`, `m`. */
export const EXTEND: Script = script(
  CLOCK,
  PUT,
  `
local e, a, t, m, x = unpack(redis.call('HMGET', KEYS[1], 'e', 'a', 't', 'm', 'x'))
if not e or tonumber(e) <= now then return { 0 } end
if ARGV[4] ~= '' and tonumber(ARGV[4]) > (tonumber(t or '') or -math.huge) then
  redis.call('HSET', KEYS[1], 't', ARGV[4])
end
local wanted, keep = ARGV[1], ARGV[2]
if a ~= '' and tonumber(wanted) > tonumber(a) then
  wanted = a
  keep = ms(math.ceil(tonumber(a)) + ARGV[3])
end
if tonumber(wanted) > tonumber(e) then
  redis.call('HSET', KEYS[1], 'e', wanted)
  redis.call('PEXPIREAT', KEYS[1], keep)
  e = wanted
end
return { 1, stale(e, x), e, m }`,
);

/**
 * `channel cluster sid call note ttl call-ttl`, keys record, queue, waiters,
 * former → was alive, `v e a t m d`. The name of the call is kept with the note,
 * or alone.
 */
export const DESTROY: Script = script(
  CLOCK,
  QUEUE,
  `
local fields = redis.call('HMGET', record, 'v', 'e', 'a', 't', 'm', 'd')
local e = fields[2]
reject_all()
if not e or tonumber(e) <= now then
  -- a client may send it again after a reconnection
  local former = redis.call('GET', KEYS[4])
  return { former and string.match(former, '^%S*') == ARGV[4] and 1 or 0 }
end
redis.call('DEL', record)
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[4], ARGV[4] .. '  \\n' .. ARGV[5], 'PX', ARGV[6])
else
  redis.call('SET', KEYS[4], ARGV[4], 'PX', ARGV[7], 'NX')
end
return { 1, unpack(fields) }`,
);

/** The version of each key, null for sessions that have ended. */
export const VERSIONS: Script = script(
  CLOCK,
  `
local versions = {}
for i, key in ipairs(KEYS) do
  local e, v = unpack(redis.call('HMGET', key, 'e', 'v'))
  versions[i] = e and tonumber(e) > now and v or false
end
return versions`,
);

/** `x`: sets up to which end of the session its index entries last. */
export const SET_INDEXED_UNTIL: Script = script(
  `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'x', ARGV[1]) end
return 1`,
);

/** `sid expiry only-if-own`: sets a pointer to a session; with `only-if-own`, not if it points to another. → the previous target. */
export const SET_POINTER: Script = script(
  `local old = redis.call('GET', KEYS[1])
if ARGV[3] ~= '1' or not old or old == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
end
return old`,
);

/** `sid`: deletes a pointer if it points there. */
export const DELETE_POINTER: Script = script(
  `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`,
);

/** The target of a pointer. */
export const GET_POINTER: Script = script(`return redis.call('GET', KEYS[1])`);

/** `expiry sid`: adds a session to those of a user, and removes expired ones. */
export const ADD_MEMBER: Script = script(
  CLOCK,
  `
redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms(now))
if now + redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIREAT', KEYS[1], ARGV[1])
end
return 1`,
);

/** `sid`: removes a session from those of a user. */
export const REMOVE_MEMBER: Script = script(
  `return redis.call('ZREM', KEYS[1], ARGV[1])`,
);

/** The sessions of a user. */
export const MEMBERS: Script = script(
  CLOCK,
  `return redis.call('ZRANGEBYSCORE', KEYS[1], ms(now), '+inf')`,
);
