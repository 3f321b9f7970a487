-- Correct what a lease took, once.
--
-- KEYS  the lease's record, then a count for each charge
-- ARGV  the lease, how long the record says that it is settled (ms), parts of a window,
--       then for each charge the difference to what was taken and its window (µs; 0 for a place)
--
-- A settlement may overtake its reservation. Then there is no record yet, and the one it leaves keeps the late
-- reservation from taking anything.

local record = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', ARGV[2])

local charged = {}
for part in string.gmatch(record or '', '%S+') do table.insert(charged, tonumber(part)) end

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local parts = tonumber(ARGV[3])

for i = 2, #KEYS do
  local at = 2 * i
  local difference, window, part = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), charged[i - 1]
  if window == 0 then
    redis.call('ZREM', KEYS[i], ARGV[1])
  elseif part and difference ~= 0 then
    local width = window / parts
    local present = math.floor(now / width)
    if difference > 0 then
      redis.call('HINCRBY', KEYS[i], present, ARGV[at])
      redis.call('PEXPIRE', KEYS[i], math.ceil((window + width) / 1000))
    elseif part >= present - parts then
      -- Less is there, or nothing, if Redis lost the count and began it again.
      local returned = math.min(tonumber(redis.call('HGET', KEYS[i], part) or 0), -difference)
      if returned > 0 then  -- else it would be "-0", which Redis takes for no number
        redis.call('HINCRBY', KEYS[i], part, -returned)
        redis.call('PEXPIRE', KEYS[i], math.ceil((window + width) / 1000))
      end
    end
  end
end
return redis.status_reply('OK')
