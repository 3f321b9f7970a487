-- Extend the slots of leases that still run. Also restores them in a Redis that lost its data.
--
-- KEYS  pairs: a lease's record, and the count it has a slot of
-- ARGV  how long a slot is held (µs), then the lease of each pair

for i = 1, #KEYS, 2 do
  if redis.call('GET', KEYS[i]) ~= '' then
    redis.call('ZADD', KEYS[i + 1], now + ARGV[1], ARGV[(i + 1) / 2 + 1])
    redis.call('PEXPIRE', KEYS[i + 1], math.ceil(ARGV[1] / 1000))
  end
end
return redis.status_reply('OK')
