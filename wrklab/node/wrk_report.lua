-- wrk's report as JSON: what a run found, with the whole latency histogram, in the file that WRKLAB_REPORT names.
--
-- wrk runs on, and exits with 0, when its script is missing or broken: so the file is written under another name
-- and renamed when it is whole. No file means that the run does not count.
--
-- WRKLAB_EXPECT_BODY   compare every answer's body with this; without it there is no `response` callback at all,
--                      because its mere presence costs 12-16 % of the generator's CPU a request
-- WRKLAB_EXPECT_STATUS beside it: the status that each must have (200); wrk itself takes all below 400 for right
-- WRKLAB_RATE          open loop: slots per second of one thread. Each call of `delay` takes the next slot of the
--                      thread's timetable, so that requests are sent at their time, whatever the server does
-- WRKLAB_ARRIVALS      next to it: poisson, or constant
-- WRKLAB_BEGIN         next to it: when the timetable begins, epoch seconds by the wall clock
-- WRKLAB_SLOTS_S       next to it: the timetable's length, seconds
-- WRKLAB_OFFSET_S, WRKLAB_THREAD_OFFSET_S, WRKLAB_SEED: next to it, of the first thread (protocol/load.py, Timetable)
-- WRKLAB_CONNECTIONS   next to it: connections of one thread
-- WRKLAB_OPEN_EARLY    next to it: they are opened before the timetable begins (wrk_connections.lua)
-- WRKLAB_MIX           a mix of requests instead of the one of the command line (wrk_mix.lua)
-- WRKLAB_MIX_CHECKS    next to it: all that it expects is compared in this process
-- WRKLAB_CLOSE         each request says `Connection: close`
-- WRKLAB_NO_FFI        read the histogram through wrk's own slow accessor (tests compare both ways)

local expected_body = os.getenv("WRKLAB_EXPECT_BODY")
local expected_status = tonumber(os.getenv("WRKLAB_EXPECT_STATUS") or 200)
local threads = {}
local started_at = nil

local ffi_found, ffi = pcall(require, "ffi")
if os.getenv("WRKLAB_NO_FFI") then ffi_found = false end
if ffi_found then
  ffi.cdef [[
    typedef struct { uint64_t count, limit, min, max; uint64_t data[]; } wrklab_stats;
    typedef struct { long s; long us; } wrklab_time;
    int gettimeofday(wrklab_time *now, void *zone);
  ]]
end

local function now_s()
  if not ffi_found then return nil end
  local time = ffi.new("wrklab_time")
  ffi.C.gettimeofday(time, nil)
  return tonumber(time.s) + tonumber(time.us) / 1e6
end

-- What a file next to this one returns; the files of a mix use it too.
local parts = {}
function wrklab_part(name)
  parts[name] = parts[name] or dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. name)
  return parts[name]
end

-- Each thread's state takes a number of its own: setup() sets it before init() runs.
thread_number = 0

-- Whether all that a mix expects is compared here.
local checks_mix = os.getenv("WRKLAB_MIX_CHECKS") ~= nil
local mix = nil
if os.getenv("WRKLAB_MIX") then
  if not ffi_found then error("a mix of requests needs LuaJIT's FFI") end
  mix = wrklab_part("wrk_mix.lua")
  request, response = mix.request, mix.response
end

-- Globals that done() asks a thread's state for: each is computed when it is asked for.
local computed = {}
setmetatable(_G, { __index = function(_, name) return computed[name] and computed[name]() end })
if mix then computed.wrklab_mix = mix.counts end

if os.getenv("WRKLAB_CLOSE") then wrk.headers["Connection"] = "close" end

local begin_timetable = nil
local rate = tonumber(os.getenv("WRKLAB_RATE") or "")
if rate then
  if not ffi_found then error("an open loop needs LuaJIT's FFI, for a clock finer than seconds") end
  local is_constant = os.getenv("WRKLAB_ARRIVALS") == "constant"
  local begins = tonumber(os.getenv("WRKLAB_BEGIN"))
  local slots_s = tonumber(os.getenv("WRKLAB_SLOTS_S"))
  local quarter_s = slots_s / 4
  local late_s = 0.001
  -- From a slot to its sending: a second and more where the server's host drops the first packet of a new connection.
  -- Less than that, but more than a round trip and a turn of wrk's loop, is wrk's own doing: it had no CPU.
  local dropped_s, late_opening_s, late_open_s = 0.9, 0.1, 0.02
  -- Beyond the end of any run.
  local never_ms = 1e9
  local clock = ffi.new("wrklab_time")
  local constant_offset_s = nil
  -- Seconds from the timetable's begin to its next slot, and the number of that slot.
  local slot_s, slot_number = 0, -1
  local scheduled, sent, late, latest_s, wrk_late = 0, 0, 0, 0, 0
  -- Index 5 takes what lies behind the timetable's end.
  local due, begun, answered, waited = {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 0}
  -- wrk's own counts, and how many answers were followed by a call.
  local progress, followed = nil, 0
  -- Connections that the server closed while they waited for their slot.
  local idle_closed = 0
  -- Read errors that were none of those, by the least that was seen since the last answers came in. wrk counts an error
  -- at once and asks when it has connected again: an end of the run in between would make one more of it.
  local others_since_s, others = slots_s + 0.5, math.huge

  -- Both counts when the last request was answered: whatever is closed after that was waiting.
  local errors_when_done, closed_when_done = nil, nil

  -- Of each connection by its address: whether wrk asked for it before, when the request of its slot is to be sent, until
  -- that has an answer, and whether the connection is to be opened for it.
  local is_known, due_s, is_resting = {}, {}, {}
  local connections = wrklab_part("wrk_connections.lua")

  local function quarter_of(at_s)
    if at_s >= slots_s then return 5 end
    if at_s < quarter_s then return 1 end
    return math.floor(at_s / quarter_s) + 1
  end

  local function next_slot()
    slot_number = slot_number + 1
    if is_constant then
      slot_s = constant_offset_s + slot_number / rate
    else
      slot_s = slot_s - math.log(1 - math.random()) / rate
    end
  end

  local function count_slot()
    scheduled = scheduled + 1
    local quarter = quarter_of(slot_s)
    due[quarter] = due[quarter] + 1
  end

  -- The time in flight needs no time of any single answer: each request adds to it what is left of the quarter when it
  -- is sent, and each answer takes away what is left when it comes.
  local function count_answer(at_s)
    local quarter = quarter_of(at_s)
    answered[quarter] = answered[quarter] + 1
    waited[quarter] = waited[quarter] - (quarter * quarter_s - at_s)
  end

  local function count_lateness(lateness_s, limit_s)
    if lateness_s > limit_s then late = late + 1 end
    if lateness_s > latest_s then latest_s = lateness_s end
  end

  local function count_delay(delay_s, was_open)
    if delay_s > dropped_s then
      count_lateness(delay_s, dropped_s)
    elseif delay_s > (was_open and late_open_s or late_opening_s) then
      wrk_late = wrk_late + 1
    end
  end

  local function count_sending(at_s)
    sent = sent + 1
    local quarter = quarter_of(at_s)
    begun[quarter] = begun[quarter] + 1
    waited[quarter] = waited[quarter] + (quarter * quarter_s - at_s)
  end

  -- Whether a call comes after an answer. Where wrk's counts leave both open, by whether the connection's request was
  -- sent.
  local function follows_answer(request_due_s, sent_s)
    if tonumber(progress.complete) == followed then return false end
    if progress.read_errors == idle_closed then return true end
    return request_due_s ~= nil and sent_s >= request_due_s - 1e-5
  end

  begin_timetable = function()
    progress = wrklab_part("wrk_layout.lua").thread_of(wrk.thread)
    -- Believed only where this is found there.
    if progress.connections ~= tonumber(os.getenv("WRKLAB_CONNECTIONS")) or progress.complete ~= 0 or progress.requests ~= 0 then
      error("this wrk keeps its counts elsewhere than wrk 4.1.0 and 4.2.0: an open loop needs one of these")
    end
    math.randomseed(tonumber(os.getenv("WRKLAB_SEED")) + thread_number)
    if is_constant then
      constant_offset_s = tonumber(os.getenv("WRKLAB_OFFSET_S"))
        + thread_number * tonumber(os.getenv("WRKLAB_THREAD_OFFSET_S"))
    end
    connections.begin(progress)
    next_slot()
  end

  -- How long a connection waits that was asked for at `asked_s`. `past_tick_ms`: since the clock's last millisecond.
  local function wait_of(connection, asked_s, now, past_tick_ms)
    local key = connections.key_of(connection)
    local was_resting, is_first = is_resting[key], not is_known[key]
    is_resting[key] = connections.rest(connection, is_first)
    -- The first call for a connection follows no answer.
    if not is_first then
      -- When wrk wrote the connection's last request; never before the millisecond of its slot.
      local sent_s = tonumber(connection.start) / 1e6 - begins
      if not follows_answer(due_s[key], sent_s) then
        idle_closed = idle_closed + 1
        if asked_s >= others_since_s then others = math.min(others, tonumber(progress.read_errors) - idle_closed) end
        return never_ms
      end
      followed = followed + 1
      if due_s[key] then count_delay(sent_s - due_s[key], not was_resting) end
      if asked_s >= 0 then count_answer(asked_s) end
    end
    is_known[key], due_s[key] = true, nil
    if slot_s >= slots_s then return never_ms end
    count_slot()
    count_lateness(asked_s - slot_s, late_s)
    -- wrk sends at the first whole millisecond of the clock that is not before the slot.
    local wait_ms = math.max(0, math.ceil((slot_s - now) * 1000 + past_tick_ms))
    local sending_s = wait_ms > 0 and now + (wait_ms - past_tick_ms) / 1000 or now
    due_s[key] = sending_s
    count_sending(sending_s)
    next_slot()
    return wait_ms
  end

  -- A call whose connection is known by its timer only: the timer's number, and when wrk asked.
  local open_timer, open_asked_s = nil, nil

  -- wrk asks once for each connection that it opens, and then after each answer: the connection takes the next slot.
  -- Where the server closes one that waits for its slot, wrk opens another in its place and asks once more, while the
  -- first slot's timer goes on: that one sends the request on the new connection, and a second slot would be too many.
  function delay()
    ffi.C.gettimeofday(clock, nil)
    local now_us = tonumber(clock.us)
    local now = tonumber(clock.s) - begins + now_us / 1e6
    local tick_ms = math.floor(now_us / 1000)
    local past_tick_ms = now_us / 1000 - tick_ms
    if open_timer then
      local timer, connection = connections.newest_timer(open_timer)
      local wait_ms = wait_of(connection, open_asked_s, now, past_tick_ms)
      if wait_ms < never_ms then
        timer.when_s = clock.s + math.floor((tick_ms + wait_ms) / 1000)
        timer.when_ms = (tick_ms + wait_ms) % 1000
      end
      open_timer = nil
    end
    local connection, wait_ms = connections.asked(), never_ms
    if connection then
      wait_ms = wait_of(connection, now, now, past_tick_ms)
    else
      open_timer, open_asked_s = connections.next_timer(), now
    end
    if not errors_when_done and slot_s >= slots_s and progress.complete >= sent then
      errors_when_done, closed_when_done = tonumber(progress.read_errors), idle_closed
    end
    return wait_ms
  end

  local function join(values)
    local found = {}
    for quarter = 1, 4 do found[quarter] = string.format("%.17g", values[quarter]) end
    return table.concat(found, ",")
  end

  -- The slots that no connection took are counted then.
  function computed.wrklab_slots()
    while slot_s < slots_s do
      count_slot()
      next_slot()
    end
    -- What is in flight at a quarter's end waits through all of the following ones.
    local in_flight, waiting = 0, {}
    for quarter = 1, 4 do
      waiting[quarter] = waited[quarter] + in_flight * quarter_s
      in_flight = in_flight + begun[quarter] - answered[quarter]
    end
    idle_closed = math.max(idle_closed, tonumber(progress.read_errors) - others)
    if errors_when_done then
      idle_closed = math.max(idle_closed, closed_when_done + tonumber(progress.read_errors) - errors_when_done)
    end
    return string.format("%d;%d;%d;%.17g;%s;%s;%s;%s;%d;%d;%d", scheduled, sent, late, latest_s, join(due), join(begun),
      join(answered), join(waiting), idle_closed, connections.opened(), wrk_late)
  end
end

function init(args)
  if rate then begin_timetable() end
  if mix then mix.seed(thread_number) end
end

-- The main state; wrk starts its clock some microseconds after the last thread was set up.
function setup(thread)
  thread:set("thread_number", #threads)
  threads[#threads + 1] = thread
  started_at = now_s()
end

-- Each thread has a state of its own; done() reads these through thread:get().
bodies_wrong = 0
bodies_stale = 0
-- Those below 400, which wrk does not count.
statuses_wrong = 0

if expected_body and not mix then
  local length = #expected_body
  function response(status, headers, body)
    if status ~= expected_status and status < 400 then statuses_wrong = statuses_wrong + 1 end
    if body == expected_body then return end
    -- After an answer that was cut off, wrk hands its first bytes over once more, in front of the next body.
    if length > 0 and #body > length and body:sub(-length) == expected_body then
      bodies_stale = bodies_stale + 1
    else
      bodies_wrong = bodies_wrong + 1
    end
  end
end

local function number(value)
  if value == nil or value ~= value or value == math.huge or value == -math.huge then return "null" end
  if value == math.floor(value) and math.abs(value) < 2 ^ 53 then return string.format("%d", value) end
  return string.format("%.17g", value)
end

-- Behind wrk's userdata is a pointer to its array of counts, one bucket a microsecond. The layout is private:
-- it is believed only when it agrees with what wrk says itself.
local function histogram_by_ffi(latency)
  local stats = ffi.cast("wrklab_stats **", latency)[0]
  if tonumber(stats.min) ~= latency.min or tonumber(stats.max) ~= latency.max then return nil end
  if stats.max > stats.limit then return nil end
  local values, counts, total, previous = {}, {}, 0, 0
  for value = 0, tonumber(stats.max) do
    local count = tonumber(stats.data[value])
    if count ~= 0 then
      values[#values + 1] = number(value - previous)
      counts[#counts + 1] = number(count)
      total, previous = total + count, value
    end
  end
  if total ~= tonumber(stats.count) then return nil end
  return { values = values, counts = counts, total = total, source = "ffi" }
end

local function histogram_by_loop(latency)
  local values, counts, total, previous = {}, {}, 0, 0
  for index = 1, #latency do
    local value, count = latency(index)
    values[#values + 1] = number(value - previous)
    counts[#counts + 1] = number(count)
    total, previous = total + count, value
  end
  return { values = values, counts = counts, total = total, source = "loop" }
end

local function histogram_of(latency, answers)
  -- With no sample at all, latency.min is 1.8e19.
  if answers == 0 or latency.max == 0 then return { values = {}, counts = {}, total = 0, source = "none" } end
  if ffi_found then
    local read, histogram = pcall(histogram_by_ffi, latency)
    if read and histogram then return histogram end
  end
  return histogram_by_loop(latency)
end

local function latency_json(latency, histogram)
  local function field(value) return histogram.total > 0 and number(value) or "null" end
  return string.format(
    '{"count":%s,"min_us":%s,"max_us":%s,"mean_us":%s,"stdev_us":%s,"p50_us":%s,"p90_us":%s,"p99_us":%s,"p999_us":%s}',
    number(histogram.total), field(latency.min), field(latency.max), field(latency.mean), field(latency.stdev),
    field(latency:percentile(50)), field(latency:percentile(90)), field(latency:percentile(99)),
    field(latency:percentile(99.9)))
end

local function bodies(errors)
  local wrong, stale = 0, 0
  for _, thread in ipairs(threads) do
    wrong = wrong + (thread:get("bodies_wrong") or 0)
    stale = stale + (thread:get("bodies_stale") or 0)
  end
  -- Stale bytes come from cut-off answers only, and those are read errors: without one, the server sent them.
  if errors.read == 0 then wrong, stale = wrong + stale, 0 end
  return wrong, stale
end

local function statuses(errors)
  local wrong = errors.status
  for _, thread in ipairs(threads) do wrong = wrong + (thread:get("statuses_wrong") or 0) end
  return wrong
end

-- All threads' slots together, as JSON; `null` in a closed loop.
local function slots_json()
  if not rate then return "null" end
  local names = { "scheduled", "sent", "late", "latest_s", "quarters_scheduled", "quarters_sent", "quarters_answered",
    "quarters_waiting_s", "idle_closed", "opened", "wrk_late" }
  local totals = {}
  for _, thread in ipairs(threads) do
    local place = 0
    for part in thread:get("wrklab_slots"):gmatch("[^;]+") do
      place = place + 1
      local total, index = totals[place] or {}, 0
      for word in part:gmatch("[^,]+") do
        index = index + 1
        local value = tonumber(word)
        -- Of the threads' latest slots the latest, of all else the sum.
        total[index] = place == 4 and math.max(total[index] or 0, value) or (total[index] or 0) + value
      end
      totals[place] = total
    end
  end
  local found = {}
  for place, name in ipairs(names) do
    local values = {}
    for index, value in ipairs(totals[place]) do values[index] = number(value) end
    found[place] = string.format(#values > 1 and '"%s":[%s]' or '"%s":%s', name, table.concat(values, ","))
  end
  return "{" .. table.concat(found, ",") .. "}"
end

local function report_json(summary, latency)
  local errors = summary.errors
  local wrong, stale = bodies(errors)
  local wrong_statuses, of_mix = statuses(errors), "null"
  if mix then of_mix, wrong_statuses, wrong, stale = mix.report(threads, summary.requests) end
  local histogram = histogram_of(latency, summary.requests)
  return table.concat({
    string.format('{"duration_us":%s,"requests":%s,"bytes":%s,"threads":%d,"started_at":%s',
      number(summary.duration), number(summary.requests), number(summary.bytes), #threads, number(started_at)),
    string.format(',"errors":{"connect":%s,"read":%s,"write":%s,"status":%s,"timeout":%s,"body":%s}',
      number(errors.connect), number(errors.read), number(errors.write), number(wrong_statuses),
      number(errors.timeout), number(wrong)),
    string.format(',"bodies_checked":%s,"bodies_stale":%s', tostring(expected_body ~= nil or checks_mix), number(stale)),
    ',"latency":', latency_json(latency, histogram),
    string.format(',"histogram_source":"%s"', histogram.source),
    ',"histogram":{"values":[', table.concat(histogram.values, ","),
    '],"counts":[', table.concat(histogram.counts, ","), ']},"slots":', slots_json(), ',"mix":', of_mix, "}\n",
  })
end

function done(summary, latency, requests)
  local path = os.getenv("WRKLAB_REPORT")
  if not path then error("WRKLAB_REPORT names no file to report to") end
  local file = assert(io.open(path .. ".part", "w"))
  assert(file:write(report_json(summary, latency)))
  assert(file:close())
  assert(os.rename(path .. ".part", path))
end
