/**
 * The Lua scripts that give a session another id. Outside of a Redis Cluster
 * it is one script. In a cluster the two ids are on different nodes, and it is
 * three: the session is written under the new id, but pending (`p` the former
 * id, `pe` its end, and no `e`); it is detached from the former id, which is
 * the step that decides; and it is activated, by the mover or by the first
 * reader that finds it pending.
 *
 * The note on a former id is one line `version token lease-end` of the move,
 * empty for a session that has ended, and JSON.
 *
 * @module
 */
import { CLOCK, PUT, QUEUE, type Script, script } from "./scripts.ts";

/** The arguments of {@linkcode MOVE} and {@linkcode DETACH}: `channel cluster sid kind fence version note ttl granted`; `kind` is `v` for a version as the fence, or `l` for a lease, granted with the version `granted`. */
const LEAVE = `
local kind, fence, version = ARGV[4], ARGV[5], ARGV[6]
local function refusal(e, v, l, u)
  if not e or tonumber(e) <= now then
    reject_all()
    return 'm'
  end
  if kind == 'l' then return (l ~= fence or (ARGV[9] ~= '' and v ~= ARGV[9])) and 'l' end
  return (v ~= fence or (l and tonumber(u) > now)) and 'l'
end
local function leave(u)
  reject_all()
  redis.call('DEL', record)
  local lease = kind == 'l' and fence .. ' ' .. u or ' '
  redis.call('SET', KEYS[4], version .. ' ' .. lease .. '\\n' .. ARGV[7], 'PX', ARGV[8])
end
`;

/**
 * Further arguments `e a t m d keep x to from expiry bound`, keys record, queue,
 * waiters and note of the former id, record of the new one, and pointer of the client,
 * if there is one → `d` and the former `m`, `m`, `l` or `t`.
 */
export const MOVE: Script = script(
  CLOCK,
  QUEUE,
  PUT,
  LEAVE,
  `
local to, from = ARGV[17], ARGV[18]
local other, written = unpack(redis.call('HMGET', KEYS[5], 'e', 'v'))
-- a client may send it again after a reconnection
if written == version then return { 'd' } end
local e, v, l, u, m, n = unpack(redis.call('HMGET', record, 'e', 'v', 'l', 'u', 'm', 'n'))
local refused = refusal(e, v, l, u)
if refused then return { refused } end
if other and tonumber(other) > now then return { 't' } end
redis.call('DEL', KEYS[5])
put(KEYS[5], version, unpack(ARGV, 10, 15))
redis.call('HSET', KEYS[5], 'x', ARGV[16])
if kind == 'l' then redis.call('HSET', KEYS[5], 'l', fence, 'u', u, 'n', n or '') end
leave(u)
if KEYS[6] then
  local last = redis.call('GET', KEYS[6])
  if not last or last == from or not string.find(m, ARGV[20], 1, true) then
    redis.call('SET', KEYS[6], to, 'PXAT', ARGV[19])
  end
end
return { 'd', m }`,
);

/** `version e a t m d x from ttl`: writes a session that is pending → `p`, or `t`. */
export const PREPARE: Script = script(
  CLOCK,
  `
local e, v = unpack(redis.call('HMGET', KEYS[1], 'e', 'v'))
if v == ARGV[1] then return { 'p' } end
if e and tonumber(e) > now then return { 't' } end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'pe', ARGV[2], 'a', ARGV[3], 't', ARGV[4],
  'm', ARGV[5], 'd', ARGV[6], 'x', ARGV[7], 'p', ARGV[8])
redis.call('PEXPIRE', KEYS[1], ARGV[9])
return { 'p' }`,
);

/** Keys record, queue, waiters and note of the former id → `d`, the former `m` and the end of the lease, `m` or `l`. */
export const DETACH: Script = script(
  CLOCK,
  QUEUE,
  LEAVE,
  `
local done, lease = string.match(redis.call('GET', KEYS[4]) or '', '^(%S+) %S* (%S*)\\n')
if done == version then return { 'd', '', lease } end
local e, v, l, u, m = unpack(redis.call('HMGET', record, 'e', 'v', 'l', 'u', 'm'))
local refused = refusal(e, v, l, u)
if refused then return { refused } end
leave(u)
return { 'd', m, kind == 'l' and u or '' }`,
);

/** `version token lease-end grace`: ends the wait of a pending session → whether it is the session of this version. */
export const ACTIVATE: Script = script(
  CLOCK,
  `
local v, pe = unpack(redis.call('HMGET', KEYS[1], 'v', 'pe'))
if v ~= ARGV[1] then return 0 end
if pe then
  redis.call('HSET', KEYS[1], 'e', pe)
  redis.call('HDEL', KEYS[1], 'p', 'pe')
  redis.call('PEXPIREAT', KEYS[1], ms(math.min(math.ceil(tonumber(pe)) + ARGV[4], 8.64e15)))
  if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], 'l', ARGV[2], 'u', ARGV[3]) end
end
return 1`,
);

/** `version`: removes a session that is still pending. */
export const CANCEL: Script = script(
  `local v, pe = unpack(redis.call('HMGET', KEYS[1], 'v', 'pe'))
if v == ARGV[1] and pe then return redis.call('DEL', KEYS[1]) end
return 0`,
);

/** `sid from expiry only-if-own`: as the pointer of a client whose session has another id now. */
export const MOVE_POINTER: Script = script(
  `local old = redis.call('GET', KEYS[1])
if ARGV[4] ~= '1' or not old or old == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[3])
end
return 1`,
);
