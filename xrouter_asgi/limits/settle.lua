-- Replace what a lease took by what it cost, once.
--
-- KEYS  the lease's record, then a count for each charge
-- ARGV  the lease, how long the record marks it as settled (ms),
--       then for each charge the cost minus what was taken, its amount, and its window
--
-- A settlement may overtake its reservation. Then there is no record yet, and the empty record that this script
-- writes keeps the late reservation from taking anything.

local record = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])

local charged = {}
for index in string.gmatch(record or '', '%S+') do table.insert(charged, tonumber(index)) end

for i = 2, #KEYS do
  local at = 3 * i - 3
  local difference, amount, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local index = charged[i - 1]
  if window == 0 then
    redis.call('ZREM', KEYS[i], ARGV[1])
  elseif index and difference ~= 0 and window < 0 then
    add_to_period(KEYS[i], difference, -window)
  elseif index and difference ~= 0 then
    local count = read_window(KEYS[i], amount, window)
    if difference > 0 then
      count.debt = count.debt + difference
    elseif count.taken[index] then
      -- The slice holds less, or nothing, if Redis lost the count and started it anew.
      put(count, index, math.max(0, count.taken[index] + difference))
    end
    pay(count, count.current)
    write_window(count)
  end
end
return redis.status_reply('OK')
