-- A mix of requests for wrk_report.lua, which loads this where WRKLAB_MIX names a file that mix_file.py wrote.
--
-- Which request an answer belongs to: wrk does not say which connection it calls `request` or `response` for, and
-- answers come in another order than requests were sent. But wrk keeps, for each connection, a copy of the request that
-- is on its way and the time at which it was sent. Both are read there, by LuaJIT's FFI. The layout is private: it is
-- believed only after all that can be known about it was found there, and a run on another layout ends with an error.
--
-- WRKLAB_MIX          the requests, with their weights and expectations
-- WRKLAB_MIX_SEEDS    of each thread: what the order of its requests is drawn from
-- WRKLAB_CONNECTIONS  connections of one thread
-- WRKLAB_TIMEOUT_US   wrk's --timeout: later answers are none of its latencies
-- WRKLAB_MIX_CHECKS   compare values of JSON, too: reading it costs more than all other checks

local mix = {}

local ffi = require("ffi")
local bit = require("bit")
local json = wrklab_part("wrk_json.lua")
local layout = wrklab_part("wrk_layout.lua")
ffi.cdef "int memcmp(const void *one, const void *other, size_t length);"

local timeout_us = tonumber(os.getenv("WRKLAB_TIMEOUT_US"))
local reads_json = os.getenv("WRKLAB_MIX_CHECKS") ~= nil

-- The file: each part as its length, a colon and its bytes. Of each request: name, weight, what is sent, status, text
-- (empty: none), the number of values of JSON, and of each its path and itself, as JSON.
local function read_entries()
  local file = assert(io.open(os.getenv("WRKLAB_MIX"), "rb"))
  local text = file:read("*a")
  file:close()
  local place = 1
  local function part()
    local length, first = text:match("^(%d+):()", place)
    if not length then error("WRKLAB_MIX: byte " .. place .. ": the length of a part was expected") end
    place = first + tonumber(length)
    return text:sub(first, place - 1)
  end
  local entries = {}
  for index = 1, tonumber(part()) do
    local entry = { name = part(), weight = tonumber(part()), sent_bytes = part(), status = tonumber(part()) }
    local contains = part()
    entry.contains = contains ~= "" and contains or nil
    entry.values = {}
    for value = 1, tonumber(part()) do
      local path, expected = part(), part()
      entry.values[value] = { path = path, expected = json.read(expected) }
    end
    entries[index] = entry
  end
  return entries
end

local entries = read_entries()
local count = #entries
-- Of each request: the upper end of its part of the draw, 0 to 1 as a share of 2^32 x the sum of weights.
local total, ends = 0, {}
for index, entry in ipairs(entries) do
  total = total + entry.weight
  ends[index] = total * 4294967296
end

-- xorshift32 (Marsaglia 2003): the order depends on the seed alone, whatever the timetable draws from math.random.
local drawn = 0
function mix.seed(thread_number)
  local place = 0
  for word in os.getenv("WRKLAB_MIX_SEEDS"):gmatch("%d+") do
    if place == thread_number then drawn = tonumber(word) end
    place = place + 1
  end
  if drawn == 0 then error("WRKLAB_MIX_SEEDS: a seed above 0 was expected for thread " .. thread_number) end
end

local function next_index()
  drawn = bit.bxor(drawn, bit.lshift(drawn, 13))
  drawn = bit.bxor(drawn, bit.rshift(drawn, 17))
  drawn = bit.bxor(drawn, bit.lshift(drawn, 5))
  local scaled = drawn % 4294967296 * total
  local index = 1
  while scaled >= ends[index] do index = index + 1 end
  return index
end

local sent, answers, timeouts, wrong_status, wrong_body, histograms = {}, {}, {}, {}, {}, {}
local unknown, stale_bodies = 0, {}
for index = 1, count do
  sent[index], answers[index], timeouts[index], wrong_status[index] = 0, 0, 0, 0
  wrong_body[index], stale_bodies[index], histograms[index] = 0, 0, {}
end

-- wrk asks the first thread for one request more, to see whether it is well-formed.
local is_tried = false
-- What was drawn and could not be written, because the connection is not open: wrk asks once more when it is. It asks and
-- writes in one go, so a write error since the last call is of the request that was given then.
local given, refused, write_errors, self = nil, {}, 0, nil
local function take_back()
  self = self or layout.thread_of(wrk.thread)
  if given and self.write_errors ~= write_errors then
    sent[given] = sent[given] - 1
    refused[#refused + 1] = given
  end
  write_errors = self.write_errors
end

function mix.request()
  if thread_number == 0 and not is_tried then
    is_tried = true
    return entries[1].sent_bytes
  end
  take_back()
  given = table.remove(refused) or next_index()
  sent[given] = sent[given] + 1
  return entries[given].sent_bytes
end

-- Requests of one length are told apart by their bytes; most lengths are of one request only.
local of_length = {}
for index, entry in ipairs(entries) do
  local length = #entry.sent_bytes
  of_length[length] = of_length[length] or {}
  table.insert(of_length[length], index)
end

local function index_of(connection)
  local length = tonumber(connection.length)
  local candidates = of_length[length]
  if not candidates then return nil end
  if #candidates == 1 then return candidates[1] end
  for place = 1, #candidates do
    if ffi.C.memcmp(connection.request, entries[candidates[place]].sent_bytes, length) == 0 then
      return candidates[place]
    end
  end
  return nil
end

local thread, fired_last = nil, -1

-- What is known of this thread must stand where the layout has it. Ends wrk where it does not.
local function find_thread()
  local found = layout.thread_of(wrk.thread)
  local expected = tonumber(os.getenv("WRKLAB_CONNECTIONS"))
  local why = nil
  local all_sent = 0
  for index = 1, count do all_sent = all_sent + sent[index] end
  local complete = tonumber(found.complete)
  if found.connections ~= expected or complete < 1 or complete > all_sent or found.loop.setsize < expected then
    why = "its threads are not"
  else
    for place = 0, expected - 1 do
      local connection = found.connections_array[place]
      -- A connection that could not be opened has no parser yet.
      local data = connection.parser.data
      if connection.thread ~= found or (data ~= nil and data ~= ffi.cast("void *", connection)) then
        why = "its connections are not"
        break
      end
    end
  end
  if why then
    error("this wrk is of another build: " .. why .. " laid out as in wrk 4.1.0 or 4.2.0, and its Lua interface does "
      .. "not say which request an answer belongs to; use Debian's wrk, or a scenario without `requests`")
  end
  return found
end

-- wrk is about to hand this connection's answer over: its headers are not reset yet, the last one has its end (\0), and
-- its parser stands between two messages (s_dead, s_start_res) or reads until the connection ends. No other connection
-- is in that state: of a partial answer the parser is within a message.
local function is_answering(connection, length, status)
  local headers, body = connection.headers, connection.body
  if headers.cursor == headers.buffer or headers.cursor[-1] ~= 0 then return false end
  if body.cursor - body.buffer ~= length or bit.band(connection.parser.status, 0xffff) ~= status then return false end
  local state = bit.band(bit.rshift(connection.parser.bits, 10), 0x7f)
  return state == 1 or state == 4 or connection.parser.content_length == 0xffffffffffffffffULL
end

local function at_fired(place, length, status)
  local loop = thread.loop
  local fd = loop.fired[place].fd
  if fd < 0 or fd >= loop.setsize then return nil end
  local event = loop.events[fd]
  -- A descriptor that was closed has events no more, and its connection's place may be stale.
  if event.mask == 0 then return nil end
  local connection = ffi.cast("wrklab_connection *", event.data)
  if is_answering(connection, length, status) then return connection end
  return nil
end

-- wrk goes through the descriptors that epoll gave it in order: the next answer is a few places on, or near the start.
local function answering(length, status)
  local size = thread.loop.setsize
  for step = 1, size do
    local place = fired_last + step
    local found = place < size and at_fired(place, length, status) or nil
    if not found then
      place = step - 1
      found = at_fired(place, length, status)
    end
    if found then
      fired_last = place
      return found
    end
  end
  return nil
end

local function is_right_body(entry, body)
  if entry.contains and not body:find(entry.contains, 1, true) then return false end
  if not reads_json or #entry.values == 0 then return true end
  local read, value = pcall(json.read, body)
  if not read then return false end
  for _, each in ipairs(entry.values) do
    if not json.same(json.at(value, each.path), each.expected) then return false end
  end
  return true
end

-- After an answer that was cut off, wrk hands its first bytes over once more, in front of the next body.
local function count_wrong_body(index)
  local stale = 0
  for each = 1, count do stale = stale + stale_bodies[each] end
  local counts = stale < thread.read_errors and stale_bodies or wrong_body
  counts[index] = counts[index] + 1
end

local clock = nil
function mix.response(status, headers, body)
  clock = clock or ffi.new("wrklab_time")
  ffi.C.gettimeofday(clock, nil)
  local now_us = tonumber(clock.s) * 1e6 + tonumber(clock.us)
  thread = thread or find_thread()
  local connection = answering(#body, status)
  local index = connection and connection.pending == 1 and index_of(connection)
  if not index then
    unknown = unknown + 1
    return
  end
  answers[index] = answers[index] + 1
  local latency_us = math.max(0, now_us - tonumber(connection.start))
  if latency_us < timeout_us then
    local histogram = histograms[index]
    histogram[latency_us] = (histogram[latency_us] or 0) + 1
  else
    timeouts[index] = timeouts[index] + 1
  end
  local entry = entries[index]
  if status ~= entry.status then
    wrong_status[index] = wrong_status[index] + 1
  elseif not is_right_body(entry, body) then
    count_wrong_body(index)
  end
end

-- A thread's counts as text, which is what the main state can ask it for: of each request a line.
function mix.counts()
  take_back()
  local lines = { tostring(unknown) }
  for index = 1, count do
    local pairs_found = {}
    for value, times in pairs(histograms[index]) do
      pairs_found[#pairs_found + 1] = string.format("%d %d", value, times)
    end
    lines[#lines + 1] = string.format("%d;%d;%d;%d;%d;%d;%s", sent[index], answers[index], timeouts[index],
      wrong_status[index], wrong_body[index], stale_bodies[index], table.concat(pairs_found, ","))
  end
  return table.concat(lines, "\n")
end

local function histogram_json(histogram)
  local found = {}
  for value in pairs(histogram) do found[#found + 1] = value end
  table.sort(found)
  local values, counts, before = {}, {}, 0
  for place, value in ipairs(found) do
    values[place] = string.format("%d", value - before)
    counts[place] = string.format("%d", histogram[value])
    before = value
  end
  return string.format('{"values":[%s],"counts":[%s]}', table.concat(values, ","), table.concat(counts, ","))
end

local NAMES = { "sent", "answers", "timeouts", "wrong_status", "wrong_body", "stale_bodies" }

-- All threads' counts added, by request: NAMES, and `histogram`.
local function added(threads)
  local sums, strange = {}, 0
  for index = 1, count do
    sums[index] = { histogram = {} }
    for _, name in ipairs(NAMES) do sums[index][name] = 0 end
  end
  for _, each in ipairs(threads) do
    local index = -1
    for line in each:get("wrklab_mix"):gmatch("[^\n]+") do
      index = index + 1
      if index == 0 then
        strange = strange + tonumber(line)
      else
        local sum, words, rest = sums[index], line:match("^([%d;]+);(.*)$")
        local place = 0
        for word in words:gmatch("%d+") do
          place = place + 1
          sum[NAMES[place]] = sum[NAMES[place]] + tonumber(word)
        end
        for value, times in rest:gmatch("(%d+) (%d+)") do
          value = tonumber(value)
          sum.histogram[value] = (sum.histogram[value] or 0) + tonumber(times)
        end
      end
    end
  end
  return sums, strange
end

-- In the main state: the report's JSON, and of all requests together wrong statuses, wrong bodies and stale ones.
function mix.report(threads, answers_count)
  local sums, strange = added(threads)
  local parts, known = {}, 0
  local status, body, stale = 0, 0, 0
  for index, sum in ipairs(sums) do
    known = known + sum.answers
    status, body, stale = status + sum.wrong_status, body + sum.wrong_body, stale + sum.stale_bodies
    local fields = {}
    for place, name in ipairs(NAMES) do fields[place] = string.format('"%s":%d', name, sum[name]) end
    parts[index] = string.format('{"name":"%s",%s,"histogram":%s}', entries[index].name, table.concat(fields, ","),
      histogram_json(sum.histogram))
  end
  -- wrk calls `response` for no answer without a header.
  local found = string.format('{"requests":[%s],"unknown":%d}', table.concat(parts, ","),
    math.max(strange, answers_count - known))
  return found, status, body, stale
end

return mix
