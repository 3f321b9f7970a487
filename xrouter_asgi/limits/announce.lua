-- Hold the places of leases that still run, also after Redis came back empty.
--
-- KEYS  pairs of a lease's record and the places it has one of
-- ARGV  how long a place is held (µs), then the lease of each pair

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i]) ~= '' then
    redis.call('ZADD', KEYS[i + 1], now + ARGV[1], ARGV[(i + 1) / 2 + 1])
    redis.call('PEXPIRE', KEYS[i + 1], math.ceil(ARGV[1] / 1000))
  end
end
return redis.status_reply('OK')
