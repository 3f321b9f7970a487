-- Take all charges of a lease, or none.
--
-- KEYS     the lease's record, then a count for each charge
-- ARGV     the lease (empty: only look), how long a slot is held (µs), how long the record is kept (ms),
--          then for each charge its amount, its cost and its window
-- Returns  the refused charge (0: none), the wait (µs), then for each charge what remains and when it resets (µs)
--
-- The record holds the index that was charged in each window, 0 elsewhere; an empty record marks a settled lease.

local known = ARGV[1] == '' or redis.call('EXISTS', KEYS[1]) == 1
local counts, refused, longest = {}, 0, 0
for i = 2, #KEYS do
  local at = 3 * i - 2
  local amount, cost, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local count, wait = nil, 0
  if window == 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    count = {amount = amount, used = redis.call('ZCARD', KEYS[i]), slot = true}
    if count.used + cost > amount then wait = 1000000 end
  elseif window < 0 then
    count = {key = KEYS[i], amount = amount, used = tonumber(redis.call('GET', KEYS[i]) or 0), ends = -window}
    if count.used - amount + cost > 0 then wait = math.max(count.ends - now, 1000) end
  else
    count = read_window(KEYS[i], amount, window)
    local missing = count.used - amount + cost + count.debt
    if missing > 0 then wait = math.max(until_freed(count, missing), 1000) end
  end
  count.cost = cost
  counts[i] = count
  if wait > longest and not known then refused, longest = i - 1, wait end
end

local reply, record = {refused, longest}, {}
for i = 2, #KEYS do
  local count, reset = counts[i], 0
  local takes = refused == 0 and not known
  if count.slot then
    if takes then
      redis.call('ZADD', KEYS[i], now + ARGV[2], ARGV[1])
      redis.call('PEXPIRE', KEYS[i], math.ceil(ARGV[2] / 1000))
      count.used = count.used + count.cost
    end
  elseif count.ends then
    if takes and count.cost > 0 then
      add_to_period(count.key, count.cost, count.ends)
      count.used = count.used + count.cost
    end
    if count.used > 0 then reset = math.max(0, count.ends - now) end
  else
    if takes and count.cost > 0 then put(count, count.current, (count.taken[count.current] or 0) + count.cost) end
    write_window(count)
    if count.used > 0 then reset = until_freed(count, count.used + count.debt) end
  end
  table.insert(record, count.current or 0)
  table.insert(reply, math.max(0, count.amount - count.used))
  table.insert(reply, reset)
end
if refused == 0 and not known then redis.call('SET', KEYS[1], table.concat(record, ' '), 'PX', ARGV[3]) end
return reply
