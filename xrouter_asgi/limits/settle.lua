-- Replace what a lease took by what it cost, once.
--
-- KEYS  the lease's record, then a count for each charge
-- ARGV  the lease, how long the record marks it as settled (ms), slices of a window,
--       then for each charge the cost minus what was taken, and its window (µs; 0 for a slot)
--
-- A settlement may overtake its reservation. Then there is no record yet, and the empty record that this script
-- writes keeps the late reservation from taking anything.

local record = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])

local charged = {}
for index in string.gmatch(record or '', '%S+') do table.insert(charged, tonumber(index)) end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local slices = tonumber(ARGV[3])

for i = 2, #KEYS do
  local at = 2 * i
  local difference, window, index = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), charged[i - 1]
  if window == 0 then
    redis.call('ZREM', KEYS[i], ARGV[1])
  elseif index and difference ~= 0 then
    local width = window / slices
    local current = math.floor(now / width)
    if difference > 0 then
      redis.call('HINCRBY', KEYS[i], current, ARGV[at])
      redis.call('PEXPIRE', KEYS[i], math.ceil((window + width) / 1000))
    elseif index >= current - slices then
      -- The slice holds less, or nothing, if Redis lost the count and started it anew.
      local returned = math.min(tonumber(redis.call('HGET', KEYS[i], index) or 0), -difference)
      if returned > 0 then  -- -0 would be sent as "-0", which Redis does not read as a number
        redis.call('HINCRBY', KEYS[i], index, -returned)
        redis.call('PEXPIRE', KEYS[i], math.ceil((window + width) / 1000))
      end
    end
  end
end
return redis.status_reply('OK')
