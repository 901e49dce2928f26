-- wrk's report as JSON: what a run found, with the whole latency histogram, in the file that WRKLAB_REPORT names.
--
-- wrk runs on, and exits with 0, when its script is missing or broken: so the file is written under another name
-- and renamed when it is whole. No file means that the run does not count.
--
-- WRKLAB_EXPECT_BODY   compare every answer's body with this; without it there is no `response` callback at all,
--                      because its mere presence costs 12-16 % of the generator's CPU a request
-- WRKLAB_EXPECT_STATUS beside it: the status that each must have (200); wrk itself takes all below 400 for right
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

-- The main state; wrk starts its clock some microseconds after the last thread was set up.
function setup(thread)
  threads[#threads + 1] = thread
  started_at = now_s()
end

-- Each thread has a state of its own; done() reads these through thread:get().
bodies_wrong = 0
bodies_stale = 0
-- Those below 400, which wrk does not count.
statuses_wrong = 0

if expected_body then
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

local function report_json(summary, latency)
  local errors = summary.errors
  local wrong, stale = bodies(errors)
  local histogram = histogram_of(latency, summary.requests)
  return table.concat({
    string.format('{"duration_us":%s,"requests":%s,"bytes":%s,"threads":%d,"started_at":%s',
      number(summary.duration), number(summary.requests), number(summary.bytes), #threads, number(started_at)),
    string.format(',"errors":{"connect":%s,"read":%s,"write":%s,"status":%s,"timeout":%s,"body":%s}',
      number(errors.connect), number(errors.read), number(errors.write), number(statuses(errors)),
      number(errors.timeout), number(wrong)),
    string.format(',"bodies_checked":%s,"bodies_stale":%s', tostring(expected_body ~= nil), number(stale)),
    ',"latency":', latency_json(latency, histogram),
    string.format(',"histogram_source":"%s"', histogram.source),
    ',"histogram":{"values":[', table.concat(histogram.values, ","),
    '],"counts":[', table.concat(histogram.counts, ","), "]}}\n",
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
