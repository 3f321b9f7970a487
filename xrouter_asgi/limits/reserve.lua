-- Take all charges of a lease, or none.
--
-- KEYS     the lease's record, then a count for each charge
-- ARGV     the lease, how long a slot is held (µs), how long the record is kept (ms), slices of a window,
--          then for each charge its amount, its cost and its window (µs; 0 for a parallel slot)
-- Returns  the refused charge (0: none), the wait (µs), then for each charge what remains and when it resets (µs)
--
-- A window is a hash from the index of a slice to what was taken in it. Slots are a sorted set of leases by the time
-- they expire. The record holds the index that was charged in each window; an empty record marks a settled lease.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local slices = tonumber(ARGV[4])
local known = redis.call('EXISTS', KEYS[1]) == 1

local function read_window(key, window)
  local count = {width = window / slices, total = 0, taken = {}, gone = {}}
  count.current = math.floor(now / count.width)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local index, taken = tonumber(fields[i]), tonumber(fields[i + 1])
    if index < count.current - slices then
      table.insert(count.gone, fields[i])
    elseif taken > 0 then
      table.insert(count.taken, {index, taken})
      count.total = count.total + taken
    end
  end
  if #count.gone > 0 then redis.call('HDEL', key, unpack(count.gone)) end
  table.sort(count.taken, function(one, other) return one[1] < other[1] end)
  return count
end

local function leaves(count, index)
  return math.ceil((index + slices + 1) * count.width - now)
end

local function wait_for_window(count, missing)
  local wait = 0
  for _, taken in ipairs(count.taken) do
    missing = missing - taken[2]
    wait = leaves(count, taken[1])
    if missing <= 0 then break end
  end
  return math.max(wait, 1000)
end

local counts, refused, longest = {}, 0, 0
for i = 2, #KEYS do
  local at = 3 * i - 1
  local amount, cost, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local count
  if window == 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    count = {total = redis.call('ZCARD', KEYS[i]), slot = true}
  else
    count = read_window(KEYS[i], window)
  end
  count.amount, count.cost, count.window = amount, cost, window
  counts[i] = count
  local missing = count.total + cost - amount
  if missing > 0 and not known then
    local wait = count.slot and 1000000 or wait_for_window(count, missing)
    if wait > longest then refused, longest = i - 1, wait end
  end
end

local reply, record = {refused, longest}, {}
for i = 2, #KEYS do
  local count, reset = counts[i], 0
  if refused == 0 and not known then
    count.total = count.total + count.cost
    if count.slot then
      redis.call('ZADD', KEYS[i], now + ARGV[2], ARGV[1])
      redis.call('PEXPIRE', KEYS[i], math.ceil(ARGV[2] / 1000))
    else
      redis.call('HINCRBY', KEYS[i], count.current, count.cost)
      redis.call('PEXPIRE', KEYS[i], math.ceil((count.window + count.width) / 1000))
      if count.cost > 0 then table.insert(count.taken, {count.current, count.cost}) end
    end
  end
  if not count.slot and #count.taken > 0 then reset = leaves(count, count.taken[#count.taken][1]) end
  table.insert(record, count.current or 0)
  table.insert(reply, math.max(0, count.amount - count.total))
  table.insert(reply, reset)
end
if refused == 0 and not known then redis.call('SET', KEYS[1], table.concat(record, ' '), 'PX', ARGV[3]) end
return reply
