/**
 * The Lua scripts that begin a session for a client, and those for locks.
 *
 * @module
 */
import { CLOCK, PUT, type Script, script } from "./scripts.ts";

/**
 * `sid version e a t m d keep x expiry bound records arrived restricted`, and
 * the ids that may be replaced; keys record, pointer of the client → `b` and
 * the session before, `t` (taken), `s` (superseded), or `o` and the one before.
 *
 * The key of the session before is made here: this is not for a Redis Cluster.
 */
export const BEGIN: Script = script(
  CLOCK,
  PUT,
  `
local sid, version, arrived = ARGV[1], ARGV[2], tonumber(ARGV[13])
local e, v, b = unpack(redis.call('HMGET', KEYS[1], 'e', 'v', 'b'))
-- a client may send it again after a reconnection
if v == version then return { 'b', b or '' } end
if e and tonumber(e) > now then return { 't' } end
local before = redis.call('GET', KEYS[2])
if before and before ~= sid then
  local escapes = { ['{'] = '%7B', ['}'] = '%7D', ['%'] = '%25' }
  local key = ARGV[12] .. '{' .. string.gsub(before, '[{}%%]', escapes) .. '}'
  local e, m = unpack(redis.call('HMGET', key, 'e', 'm'))
  if e and tonumber(e) > now and string.find(m, ARGV[11], 1, true) then
    local other = tonumber(string.match(m, '"arrived":([%d.]+)') or '')
    if arrived and other and other > arrived then return { 's' } end
    local allowed = ARGV[14] ~= '1'
    for i = 15, #ARGV do allowed = allowed or ARGV[i] == before end
    if not allowed then return { 'o', before } end
  else
    before = nil
  end
else
  before = nil
end
redis.call('DEL', KEYS[1])
put(KEYS[1], version, unpack(ARGV, 3, 8))
redis.call('HSET', KEYS[1], 'x', ARGV[9])
if before then redis.call('HSET', KEYS[1], 'b', before) end
redis.call('SET', KEYS[2], sid, 'PXAT', ARGV[10])
return { 'b', before or '' }`,
);

/** `expected sid expiry`: points from `expected`, or nothing, to another session. → whether it points there. */
export const SWAP_POINTER: Script = script(
  `local old = redis.call('GET', KEYS[1]) or ''
if old ~= ARGV[1] and old ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
return 1`,
);

/** `token ttl`: takes a lock that is free, or the token's already. → whether it is taken. */
export const LOCK: Script = script(
  `local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`,
);
