-- What the scripts share: the counts, kept as counts.py keeps them. `slices` stands in the line above.
--
-- A window is a hash from the index of a slice to what was taken in it, and the field `debt`. A period of the calendar is
-- a number. Slots are a sorted set of leases by the time they expire.
--
-- Scripts are told the window of each count in µs: 0 for slots, and for a period the time of its end, below 0.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local turn = slices + 1
local longest_ttl = 315360000000  -- ms: ten years

local function put(count, index, taken)
  if not count.taken[index] then table.insert(count.order, index) end
  count.used = count.used + (taken - (count.taken[index] or 0))  -- no sum in between that Lua could not hold exactly
  count.taken[index] = taken
  count.changed[index] = taken
end

local function drop(count, index)
  count.used = count.used - count.taken[index]
  count.taken[index] = nil
  count.changed[index] = false
end

local function pay(count, index)
  local paid = math.min(count.debt, count.amount - count.used)
  if paid > 0 then
    put(count, index, (count.taken[index] or 0) + paid)
    count.debt = count.debt - paid
  end
end

-- How often a number goes into another one, as a whole. A quotient near a whole number would be rounded to it.
local function times(number, whole)
  return (whole - math.fmod(whole, number)) / number
end

local function repeat_turns(count)
  local order, used = count.order, count.used
  local turns = math.min(math.floor((count.current - order[#order]) / turn), times(used, count.debt))
  if turns > 0 then
    count.order = {}
    for _, index in ipairs(order) do
      local taken = count.taken[index]
      drop(count, index)
      put(count, index + turns * turn, taken)
    end
    count.debt = count.debt - turns * used
  end
end

local function read_window(key, amount, window)
  local count = {
    key = key, amount = amount, window = window, width = window / slices,
    used = 0, debt = 0, order = {}, taken = {}, changed = {},
  }
  count.current = math.floor(now / count.width)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local value = tonumber(fields[i + 1])
    if fields[i] == 'debt' then
      count.debt = value
    else
      put(count, tonumber(fields[i]), value)
    end
  end
  count.changed, count.owed = {}, count.debt
  table.sort(count.order)
  if count.debt > 0 and count.used > 0 then repeat_turns(count) end
  while count.order[1] and count.order[1] < count.current - slices do
    local index = table.remove(count.order, 1)
    drop(count, index)
    pay(count, index + turn)
  end
  return count
end

local function write_window(count)
  local gone, kept = {}, {}
  for index, taken in pairs(count.changed) do
    if taken then
      table.insert(kept, index)
      table.insert(kept, taken)
    else
      table.insert(gone, index)
    end
  end
  if count.debt > 0 and count.debt ~= count.owed then
    table.insert(kept, 'debt')
    table.insert(kept, count.debt)
  elseif count.debt == 0 and count.owed > 0 then
    table.insert(gone, 'debt')
  end
  if #gone > 0 then redis.call('HDEL', count.key, unpack(gone)) end
  if #kept > 0 then
    redis.call('HSET', count.key, unpack(kept))
    local ttl = (count.window + count.width) / 1000 * (1 + math.ceil(count.debt / count.amount))
    redis.call('PEXPIRE', count.key, math.ceil(math.min(ttl, longest_ttl)))
  end
end

local function add_to_period(key, cost, ends)
  if redis.call('INCRBY', key, cost) < 0 then redis.call('SET', key, 0) end  -- it was lost, and started anew
  redis.call('PEXPIRE', key, math.max(1, math.ceil(math.min((ends - now) / 1000, longest_ttl))))
end

-- How long it takes until so much has left the window, debts that pass through it included
local function until_freed(count, amount)
  local turns = times(count.used, amount - 1)
  local rest = amount - 1 - turns * count.used
  for _, index in ipairs(count.order) do
    rest = rest - count.taken[index]
    if rest < 0 then return math.ceil((index + (turns + 1) * turn) * count.width - now) end
  end
end
