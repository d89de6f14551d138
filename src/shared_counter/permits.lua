-- One ask for permits, each for one call to HealthFlow. Workers run it, and so may any other program that uses the same account:
-- docs/limits-and-outages.md says what each field of the ask means. crates/proof/src/counter.rs is the same in Rust, and a test
-- compares the two. All times are microseconds, by this server's clock.
--
-- KEYS[1]: a hash with what was given, and whether HealthFlow asked us to wait.
-- KEYS[2]: a sorted set of partitions by the last answer that is known to have reached their worker.
-- ARGV[1]: the ask, as JSON.
-- Returns this clock, after how long there may be more, when the fixed window ends (0: there is none), and the moment of each
-- permit.
local ask = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function get(field) return tonumber(redis.call('HGET', KEYS[1], field)) end
local function set(field, number) redis.call('HSET', KEYS[1], field, number) end

-- A clock that was set back a little stands still until it has caught up. Where nobody asked for a while, where the clock went
-- back far and where all is forgotten, permits may be out that we do not know of.
local last = get('last')
if last and now < last and last - now < 1000000 then now = last end
local is_new = not last or now < last or now - last > ask.silent_us
set('last', now)

-- Whoever may be on its own has its part: it is taken off what the others get.
-- An answer that is still to come was another server's.
local answered = ask.answered_us <= now and ask.answered_us or 0
for _, partition in ipairs(ask.partitions) do redis.call('ZADD', KEYS[2], answered, partition) end
local heard = redis.call('ZCOUNT', KEYS[2], now - ask.silent_us, now)
local part = 1 - ask.fallback_share * (1 - math.min(heard / ask.all, 1))

-- HealthFlow asked somebody to wait: for an hour at most, whatever a clock did.
local held = math.min(math.max(get('held') or 0, ask.hold_us > 0 and now + ask.hold_us or 0), now + 3600000000)
set('held', held)
local first = math.max(now, held)

local back = ask.back
local is_back = back.newest > 0 and get('given') == back.newest_us
for _, rate in ipairs(ask.rates) do
  -- What HealthFlow's answers call for holds for all, for as long as somebody says so.
  if rate.paced_us > 0 then
    set('paced:' .. rate.name, rate.paced_us)
    set('paced_until:' .. rate.name, now + 1000000)
  end
  local is_paced = (get('paced_until:' .. rate.name) or 0) > now
  local paced = is_paced and get('paced:' .. rate.name) or 0
  rate.step = math.max(rate.interval_us, paced) / part
  -- The moment from which on nothing was given.
  local free = get('free:' .. rate.name)
  if is_new or not free then
    free = now + ask.ahead_us + rate.burst * rate.step
  elseif is_back then
    free = free - back.newest * rate.step
  end
  -- A pace that is over holds nobody.
  rate.free = math.min(free, now + ask.ahead_us + (rate.burst + 1) * rate.step)
end

local ends = 0
for _, window in ipairs(ask.windows) do
  local begin = now - now % window.length_us
  local known = get('begin:' .. window.name)
  window.ends = begin + window.length_us
  window.part, window.used = part, 0
  if is_new or not known then
    window.used = window.calls
  elseif known == begin then
    window.used = get('used:' .. window.name)
    if back.all > 0 and back.oldest_us >= begin then window.used = math.max(window.used - back.all, 0) end
    -- Whoever was on its own in this window has used its part of it.
    window.part = math.min(part, get('part:' .. window.name))
  end
  window.most = math.floor(window.calls * window.part)
  if ends == 0 or window.ends < ends then ends = window.ends end
  set('begin:' .. window.name, begin)
  set('part:' .. window.name, window.part)
end

local slots, again = {}, 0
while #slots < ask.want do
  local slot, wait = first, 0
  for _, rate in ipairs(ask.rates) do slot = math.max(slot, rate.free - rate.burst * rate.step) end
  wait = slot - now - ask.ahead_us
  for _, window in ipairs(ask.windows) do
    if window.used >= window.most or slot >= window.ends then wait = math.max(wait, window.ends - now) end
  end
  if wait > 0 then
    again = wait
    break
  end
  for _, rate in ipairs(ask.rates) do rate.free = math.max(rate.free, slot) + rate.step end
  for _, window in ipairs(ask.windows) do window.used = window.used + 1 end
  slots[#slots + 1] = slot
end

for _, rate in ipairs(ask.rates) do set('free:' .. rate.name, rate.free) end
for _, window in ipairs(ask.windows) do set('used:' .. window.name, window.used) end
if #slots > 0 then set('given', now) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 86400000) end
return { now, math.ceil(again), ends, unpack(slots) }
