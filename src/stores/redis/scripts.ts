/**
 * What Redis does by itself: one script for each operation, so that each
 * happens whole or not at all.
 *
 * A session is one hash: `d` data, `m` what belongs to it (JSON), `v` version,
 * `e` end, `a` absolute end, `x` until which `e` its index entries last; and
 * while it is held `l` the holder's token, `u` until when. Who waits stands in
 * a list beside it. Times are ms since the epoch by Redis's own clock. They
 * are never formatted by Lua, which would write 1e+12.
 *
 * @module
 */
import { createHash } from "node:crypto";

/** A script, and the name under which Redis remembers it. */
export interface Script {
  readonly lua: string;
  readonly sha: string;
}

function script(...parts: readonly string[]): Script {
  const lua = parts.join("\n");
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

const CLOCK = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function ms(n) return string.format('%.0f', n) end
`;

/**
 * A message is lines: kind, token, session id, and with `g` (granted) the
 * record. One too long for a subscriber's buffer is not sent: `a`, ask for it.
 * In a cluster (`ARGV[2]`) nobody can tell whether a node has heard it. A
 * script cannot be rolled back, hence pcall: no right to publish must not
 * leave half of a commit.
 */
const QUEUE = `
local record, queue, channel, blind, sid = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local function tell(entry, kind)
  local node, token = string.match(entry, '^%d+ %d+ (%S+) (%S*)$')
  local lines = { kind, token, sid }
  if kind == 'g' then
    if redis.call('HSTRLEN', record, 'd') > 1048576 then
      lines[1] = 'a'
    else
      for _, text in ipairs(redis.call('HMGET', record, 'v', 'e', 'a', 'm', 'd')) do
        lines[#lines + 1] = text or ''
      end
    end
  end
  local heard = redis.pcall('PUBLISH', channel .. node, table.concat(lines, '\\n'))
  return blind == '1' or (type(heard) == 'number' and heard > 0)
end
-- to the first who waits and is there; to asker without a word
local function hand(asker)
  while true do
    local entry = redis.call('LPOP', queue)
    if not entry then return asker end
    local ends, hold, token = string.match(entry, '^(%d+) (%d+) %S+ (%S*)$')
    if token == asker then return asker end
    if tonumber(ends) > now then
      redis.call('HSET', record, 'l', token, 'u', ms(now + hold))
      if tell(entry, 'g') then return token end
    end
  end
end
local function dismiss()
  for _, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do tell(entry, 'm') end
  redis.call('DEL', queue)
end
local function release()
  local e = redis.call('HGET', record, 'e')
  if not e or tonumber(e) <= now then dismiss() end
  if not hand() then redis.call('HDEL', record, 'l', 'u') end
end
local function place(token)
  for _, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    if string.match(entry, ' (%S*)$') == token then return entry end
  end
end
`;

const PUT = `
local function put(version, e, a, m, d, keep)
  redis.call('HSET', KEYS[1], 'v', version, 'e', e, 'a', a, 'm', m, 'd', d)
  redis.call('PEXPIREAT', KEYS[1], keep)
end
-- whether the index entries end too early
local function stale(e, x) return (not x or tonumber(e) > tonumber(x)) and 1 or 0 end
`;

/** `channel blind sid token node hold wait again` → missing, or the record, or how long the lease lasts. */
export const ACQUIRE: Script = script(
  CLOCK,
  QUEUE,
  `
local token, node, hold, wait, again = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8]
local e, l, u = unpack(redis.call('HMGET', record, 'e', 'l', 'u'))
if not e or tonumber(e) <= now then return { 'm' } end
local holder = l
if not l or tonumber(u) <= now then holder = hand(token) end
if holder == token then
  if l ~= token or tonumber(u) <= now then
    redis.call('HSET', record, 'l', token, 'u', ms(now + hold))
  end
  local r = redis.call('HMGET', record, 'v', 'e', 'a', 'm', 'd')
  return { 'g', r[1], r[2], r[3], r[4], r[5] }
end
if holder ~= l then u = redis.call('HGET', record, 'u') end
if wait > 0 and not (again == '1' and place(token)) then
  redis.call('RPUSH', queue, ms(now + wait) .. ' ' .. hold .. ' ' .. node .. ' ' .. token)
  if redis.call('PTTL', queue) < wait then redis.call('PEXPIRE', queue, wait) end
end
return { 'w', tonumber(u) - now }`,
);

/** `channel blind sid token` and, to write, `version e a m d keep` → status, version, stale, old `m`. */
export const COMMIT: Script = script(
  CLOCK,
  QUEUE,
  PUT,
  `
local token, version = ARGV[4], ARGV[5]
local e, l, v, m, x = unpack(redis.call('HMGET', record, 'e', 'l', 'v', 'm', 'x'))
if not e or tonumber(e) <= now then
  dismiss()
  return { 'm' }
end
if l ~= token then
  -- a client that lost the connection may have sent it twice
  if version and v == version then return { 'd', v, 0, ARGV[8] } end
  return { 'l' }
end
if version then
  put(version, ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10])
  e = ARGV[6]
end
release()
return { 'd', version or v, stale(e, x), m }`,
);

/** `channel blind sid token`: leaves the queue, or gives back what was granted too late. */
export const LEAVE: Script = script(
  CLOCK,
  QUEUE,
  `
if redis.call('HGET', record, 'l') == ARGV[4] then
  release()
else
  local entry = place(ARGV[4])
  if entry then redis.call('LREM', queue, 1, entry) end
end
return 1`,
);

/** `expected version e a m d keep x` → written, stale, old `m`. */
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
  put(version, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
  redis.call('HSET', KEYS[1], 'x', ARGV[8])
  return { 1, 0, ARGV[5] }
end
if not alive or v ~= ARGV[1] or (l and tonumber(u) > now) then return { 0 } end
-- an overdue holder has lost it now
if l then redis.call('HDEL', KEYS[1], 'l', 'u') end
put(version, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
return { 1, stale(ARGV[3], x), m }`,
);

/** → `v e a m d`, each null where there is nothing. */
export const READ: Script = script(
  `return redis.call('HMGET', KEYS[1], 'v', 'e', 'a', 'm', 'd')`,
);

/** `e keep absolute-keep` → alive, stale, `e`, `m`. */
export const EXTEND: Script = script(
  CLOCK,
  PUT,
  `
local e, a, m, x = unpack(redis.call('HMGET', KEYS[1], 'e', 'a', 'm', 'x'))
if not e or tonumber(e) <= now then return { 0 } end
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

/** `channel blind sid to forget`, keys record, queue, moved → was alive, `m`. */
export const DESTROY: Script = script(
  CLOCK,
  QUEUE,
  `
local e, m = unpack(redis.call('HMGET', record, 'e', 'm'))
dismiss()
if not e or tonumber(e) <= now then return { 0 } end
redis.call('DEL', record)
if ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[5]) end
return { 1, m }`,
);

/** The version of each key, null for those that are gone. */
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

/** `x`: the index entries of this session last this long now. */
export const INDEXED: Script = script(
  `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'x', ARGV[1]) end
return 1`,
);

/** `sid until mine`: a pointer to a session; with `mine`, not over a pointer to another. Where it pointed to. */
export const POINT: Script = script(
  `local old = redis.call('GET', KEYS[1])
if ARGV[3] ~= '1' or not old or old == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2])
end
return old`,
);

/** `sid`: takes a pointer away if it points there. */
export const UNPOINT: Script = script(
  `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`,
);

/** Where a pointer points to. */
export const FOLLOW: Script = script(`return redis.call('GET', KEYS[1])`);

/** `until sid`: among the sessions of a user, and away with those that have ended. */
export const ENROL: Script = script(
  CLOCK,
  `
redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms(now))
if now + redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIREAT', KEYS[1], ARGV[1])
end
return 1`,
);

/** `sid`: no longer among them. */
export const STRIKE: Script = script(
  `return redis.call('ZREM', KEYS[1], ARGV[1])`,
);

/** All of them. */
export const ENROLLED: Script = script(
  CLOCK,
  `return redis.call('ZRANGEBYSCORE', KEYS[1], ms(now), '+inf')`,
);
