#!lua name=strowger
-- Functions of the state tier: what state::Partition does, command by command, on a Redis or Valkey server.
-- Each function reads and judges before it writes: a call that fails has no effect.

-- From this number of effects on that wait in a partition, no call begins.
local EFFECTS_MAX = 4096
-- From this share of maxmemory on, no call begins and no vote counts: calls up have the rest.
local ROOM = 0.8
-- The memory in use is asked for once in this number of calls that begin, and each time while there is no room.
local ASKED_EVERY = 64
local TOMBSTONE_MS = 32000
local MARK_FORGOTTEN_MS = 600000
-- Values in one call of a command: Lua's stack holds some thousands.
local PIECE = 1000

local DONE, FULL, UNCHANGED = {ok = 'OK'}, {ok = 'FULL'}, {ok = 'UNCHANGED'}

local function bad_argument()
  error({err = 'ERR an argument is not what the function takes'})
end

local function number(word)
  if not word or not word:find('^%d+$') or word:find('^0%d') then bad_argument() end
  return tonumber(word)
end

-- A number of 32 bits.
local function small(word)
  local value = number(word)
  if value >= 2 ^ 32 then bad_argument() end
  return value
end

-- A time. Up to 2^53, numbers are exact.
local function time(word)
  local value = number(word)
  if #word > 16 or #word == 16 and word > '9007199254740992' then
    error({err = 'ERR a time is later than 2^53'})
  end
  return value
end

-- When a lease ends.
local function lease_end(now, lease)
  local begin, length = time(now), time(lease)
  if length > 2 ^ 53 - begin then error({err = 'ERR a time is later than 2^53'}) end
  return begin + length
end

local function check_end(args, at)
  if args[at] then bad_argument() end
end

-- {pXX}, with which all names of a partition begin.
local function partition_of(name)
  return name:sub(1, 5)
end

-- The key of a record: the name without {pXX} and a colon.
local function key_of(name)
  return name:sub(7)
end

local function no_tombstone(head)
  return #head < 32 or head:byte(32) % 2 == 0
end

-- The refusal, if the record has another stamp or is a tombstone.
local function refused(name, expected)
  if not expected or #expected ~= 16 then bad_argument() end
  local head = redis.call('GETRANGE', name, 0, 31)
  if head:sub(1, 16) ~= expected or not no_tombstone(head) then
    return {redis.call('GET', name)}
  end
end

local calls_begun, full = 0, false

local function no_room()
  if full or calls_begun % ASKED_EVERY == 0 then
    local info = redis.call('INFO', 'memory')
    local used, most = info:match('used_memory:(%d+)'), info:match('maxmemory:(%d+)')
    full = tonumber(most) > 0 and tonumber(used) >= tonumber(most) * ROOM
  end
  return full
end

local function in_pieces(list, call)
  for first = 1, #list, PIECE do
    call(unpack(list, first, math.min(first + PIECE - 1, #list)))
  end
end

-- What happens with a write, read from its arguments.
local function read_also(args, at)
  local also = {effects = {}}
  if args[at] == 'C' then
    also.counter, also.added = args[at + 1], args[at + 2]
    if not also.added or not also.added:find('^%-?%d+$') then bad_argument() end
    at = at + 3
  end
  if args[at] == 'N' then
    also.name = args[at + 1]
    if not also.name then bad_argument() end
    at = at + 2
  end
  while args[at] == 'E' do
    local effects = also.effects
    effects[#effects + 1], effects[#effects + 2] = args[at + 1], args[at + 2]
    if not args[at + 2] then bad_argument() end
    at = at + 3
  end
  check_end(args, at)
  return also
end

-- Adds as a processor adds 64 bits: past the end it goes on at the other end.
local function add(counters, counter, added)
  local answer = redis.pcall('HINCRBY', counters, counter, added)
  if type(answer) ~= 'table' or not answer.err then return end
  if not answer.err:find('overflow', 1, true) then error(answer) end
  -- Less 2^64, or more, in steps that each stay within.
  local steps = {'-9223372036854775808', added, '-9223372036854775808'}
  if added:sub(1, 1) == '-' then
    steps = {'9223372036854775807', '1', added, '9223372036854775807', '1'}
  end
  for _, step in ipairs(steps) do redis.call('HINCRBY', counters, counter, step) end
end

-- Comes before the other writes of a command: only the counter can fail.
local function apply_counter(partition, also)
  if also.counter then add(partition .. 'counters', also.counter, also.added) end
end

local function apply_also(partition, also, key, there)
  if also.name then
    local names = partition .. 'names'
    if there then
      redis.call('HSET', names, also.name, key)
    elseif redis.call('HGET', names, also.name) == key then
      redis.call('HDEL', names, also.name)
    end
  end
  in_pieces(also.effects, function(...) redis.call('RPUSH', partition .. 'out', ...) end)
end

local function create(keys, args)
  local name, partition = keys[1], partition_of(keys[1])
  time(args[1])
  if not args[2] then bad_argument() end
  local also = read_also(args, 3)
  local there = redis.call('GET', name)
  if there then return {there} end
  if no_room() or redis.call('LLEN', partition .. 'out') >= 2 * EFFECTS_MAX then return FULL end
  calls_begun = calls_begun + 1
  apply_counter(partition, also)
  redis.call('SET', name, args[2])
  redis.call('ZADD', partition .. 'due', args[1], key_of(name))
  apply_also(partition, also, key_of(name), true)
  return DONE
end

local function put(keys, args)
  local name, partition, at, wake = keys[1], partition_of(keys[1]), 3, nil
  if not args[2] then bad_argument() end
  if args[3] == 'W' then
    time(args[4])
    wake, at = args[4], 5
  end
  local also = read_also(args, at)
  local refusal = refused(name, args[1])
  if refusal then return refusal end
  apply_counter(partition, also)
  redis.call('SET', name, args[2])
  if wake then redis.call('ZADD', partition .. 'due', 'LT', wake, key_of(name)) end
  apply_also(partition, also, key_of(name), true)
  return DONE
end

local function del(keys, args)
  local name, partition, at, tombstone = keys[1], partition_of(keys[1]), 2, nil
  if args[2] == 'T' then
    tombstone, at = args[3], 4
    if not tombstone then bad_argument() end
  end
  local also = read_also(args, at)
  local refusal = refused(name, args[1])
  if refusal then return refusal end
  apply_counter(partition, also)
  if tombstone then
    if #tombstone >= 32 and no_tombstone(tombstone) then
      tombstone = tombstone:sub(1, 31) .. string.char(tombstone:byte(32) + 1) .. tombstone:sub(33)
    end
    redis.call('SET', name, tombstone, 'PX', TOMBSTONE_MS)
  else
    redis.call('DEL', name)
  end
  redis.call('ZREM', partition .. 'due', key_of(name))
  apply_also(partition, also, key_of(name), false)
  return DONE
end

local function peek(keys, args)
  local name, cached = keys[1], args[1]
  check_end(args, 2)
  if cached then
    if #cached ~= 16 then bad_argument() end
    if redis.call('GETRANGE', name, 0, 15) == cached then return UNCHANGED end
  end
  return redis.call('GET', name)
end

local function wake(keys, args)
  time(args[2])
  check_end(args, 3)
  local refusal = refused(keys[1], args[1])
  if refusal then return refusal end
  redis.call('ZADD', partition_of(keys[1]) .. 'due', args[2], key_of(keys[1]))
  return DONE
end

local function records_of(partition, keys)
  local names, records = {}, {}
  for at, key in ipairs(keys) do names[at] = partition .. ':' .. key end
  in_pieces(names, function(...)
    for _, record in ipairs(redis.call('MGET', ...)) do records[#records + 1] = record end
  end)
  return records
end

local function due(keys, args)
  local again, limit, partition = lease_end(args[1], args[2]), small(args[3]), partition_of(keys[1])
  check_end(args, 4)
  local come = redis.call('ZRANGEBYSCORE', keys[1], '-inf', args[1], 'LIMIT', 0, limit)
  local moved, answer = {}, {}
  for at, key in ipairs(come) do moved[2 * at - 1], moved[2 * at] = again, key end
  local records = records_of(partition, come)
  in_pieces(moved, function(...) redis.call('ZADD', keys[1], ...) end)
  for at, key in ipairs(come) do
    if records[at] then answer[#answer + 1], answer[#answer + 2] = key, records[at] end
  end
  return answer
end

-- The keys that wake after one time, and no later than another: at most `limit`, and those that wake with the last one, since
-- whoever goes on begins behind its time. And where to go on.
local function between(due, after, to, limit)
  local found = redis.call('ZRANGEBYSCORE', due, '(' .. after, to, 'WITHSCORES', 'LIMIT', 0, limit)
  local looked_at, go_on = {}, ''
  for at = 1, #found, 2 do looked_at[#looked_at + 1] = found[at] end
  if #looked_at > 0 and #looked_at == limit then
    local last, with_last = found[#found], 0
    for at = 2, #found, 2 do
      if found[at] == last then with_last = with_last + 1 end
    end
    local together = redis.call('ZRANGEBYSCORE', due, last, last)
    for at = with_last + 1, #together do looked_at[#looked_at + 1] = together[at] end
    if #redis.call('ZRANGEBYSCORE', due, '(' .. last, to, 'LIMIT', 0, 1) > 0 then go_on = last end
  end
  return looked_at, go_on
end

local function owned_by(keys, args)
  local owner, limit, partition = struct.pack('>I4', small(args[1])), small(args[4]), partition_of(keys[1])
  time(args[2])
  time(args[3])
  check_end(args, 5)
  local looked_at, go_on = between(keys[1], args[2], args[3], limit)
  local answer = {go_on}
  for _, key in ipairs(looked_at) do
    if redis.call('GETRANGE', partition .. ':' .. key, 16, 19) == owner then answer[#answer + 1] = key end
  end
  return answer
end

local function list(keys, args)
  local limit, partition = small(args[2]), partition_of(keys[1])
  time(args[1])
  check_end(args, 3)
  local looked_at, go_on = between(keys[1], args[1], '+inf', limit)
  local records, answer = records_of(partition, looked_at), {go_on}
  for at, key in ipairs(looked_at) do
    if records[at] then answer[#answer + 1], answer[#answer + 2] = key, records[at] end
  end
  return answer
end

local function find(keys, args)
  if not args[1] then bad_argument() end
  check_end(args, 2)
  return redis.call('HGET', keys[1], args[1])
end

local function count(keys, args)
  local votes, choices, choice, voter = keys[1], keys[2], args[1], args[2]
  if not choices or not voter then bad_argument() end
  check_end(args, 3)
  if redis.call('HEXISTS', votes, voter) == 1 then return 0 end
  if no_room() then return FULL end
  calls_begun = calls_begun + 1
  redis.call('HSET', votes, voter, choice)
  redis.call('HINCRBY', choices, choice, 1)
  return 1
end

local function mark(keys, args)
  local engine, address, at = args[1], args[2], time(args[3])
  small(engine)
  check_end(args, 4)
  local before, answer = redis.call('HGETALL', keys[1]), {}
  for place = 1, #before, 2 do
    local other, other_at, other_address = before[place], before[place + 1]:match('^(%d+) (.*)$')
    if tonumber(other_at) + MARK_FORGOTTEN_MS < at then
      redis.call('HDEL', keys[1], other)
    elseif other ~= engine then
      answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = other, other_address, other_at
    end
  end
  redis.call('HSET', keys[1], engine, args[3] .. ' ' .. address)
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = engine, address, args[3]
  return answer
end

local function drain(keys, args)
  local out, lease = keys[1], keys[2]
  local engine, ends, limit = args[1], lease_end(args[2], args[3]), small(args[4])
  small(engine)
  check_end(args, 5)
  if not lease then bad_argument() end
  local present = redis.call('HMGET', lease, 'engine', 'until', 'taken')
  if present[1] and present[1] ~= engine and tonumber(present[2]) > tonumber(args[2]) then return {} end
  redis.call('HSET', lease, 'engine', engine, 'until', ends)
  local answer, taken = {}, tonumber(present[3] or 0)
  if limit == 0 then return answer end
  local words = redis.call('LRANGE', out, 0, 2 * limit - 1)
  for at = 1, #words, 2 do
    taken = taken + 1
    local next = #answer
    answer[next + 1], answer[next + 2], answer[next + 3] = string.format('%.0f', taken), words[at], words[at + 1]
  end
  return answer
end

local function drained(keys, args)
  local out, lease, engine, last = keys[1], keys[2], args[1], number(args[2])
  small(engine)
  check_end(args, 3)
  if not lease then bad_argument() end
  local present = redis.call('HMGET', lease, 'engine', 'taken')
  if present[1] ~= engine then return {false} end
  local taken = tonumber(present[2] or 0)
  local gone = math.min(last - taken, redis.call('LLEN', out) / 2)
  if gone > 0 then
    redis.call('LTRIM', out, 2 * gone, -1)
    redis.call('HSET', lease, 'taken', string.format('%.0f', taken + gone))
  end
  return DONE
end

-- Calls up go on when memory is short: no function but those that begin something judges the memory.
local function register(name, callback, flag)
  redis.register_function{function_name = 'strowger_' .. name, callback = callback, flags = {flag}}
end

register('create', create, 'allow-oom')
register('put', put, 'allow-oom')
register('del', del, 'allow-oom')
register('peek', peek, 'no-writes')
register('wake', wake, 'allow-oom')
register('due', due, 'allow-oom')
register('owned_by', owned_by, 'no-writes')
register('list', list, 'no-writes')
register('find', find, 'no-writes')
register('count', count, 'allow-oom')
register('mark', mark, 'allow-oom')
register('drain', drain, 'allow-oom')
register('drained', drained, 'allow-oom')
