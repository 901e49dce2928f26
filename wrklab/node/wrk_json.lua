-- JSON for wrk_mix.lua: a text read as a value, a value within it, and whether two values are the same.
--
-- Objects become tables by key, arrays tables by place from 0, null the value `json.null`.

local json = { null = {} }

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local WORDS = { ["true"] = true, ["false"] = false, null = json.null }
local DEPTH_MAX = 100

local function fail(place, expected) error(string.format("JSON: byte %d: %s was expected", place, expected), 0) end

local function character(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return string.char(0xe0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return string.char(0xf0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

-- The text that begins behind the quote at `place` - 1, and the place behind its end.
local function read_text(text, place)
  local parts = {}
  while true do
    local stop = text:find('["\\]', place)
    if not stop then fail(place, "the end of a text") end
    parts[#parts + 1] = text:sub(place, stop - 1)
    if text:byte(stop) == 34 then return table.concat(parts), stop + 1 end
    local sign = text:sub(stop + 1, stop + 1)
    if sign == "u" then
      local code = tonumber(text:match("^%x%x%x%x", stop + 2) or fail(stop, "four digits of \\u"), 16)
      place = stop + 6
      local low = code >= 0xd800 and code < 0xdc00 and text:match("^\\u([dD][c-fC-F]%x%x)", place)
      if low then
        code = 0x10000 + (code - 0xd800) * 1024 + tonumber(low, 16) - 0xdc00
        place = place + 6
      end
      parts[#parts + 1] = character(code)
    else
      parts[#parts + 1] = ESCAPES[sign] or fail(stop, "an escape that JSON has")
      place = stop + 2
    end
  end
end

local read_value

local function read_members(text, place, closing, depth, read_key)
  local found, count = {}, 0
  place = text:find("%S", place) or fail(place, closing)
  if text:sub(place, place) == closing then return found, place + 1 end
  while true do
    local key
    key, place = read_key(place, count)
    found[key], place = read_value(text, place, depth + 1)
    count = count + 1
    place = text:find("%S", place) or fail(place, closing)
    local sign = text:sub(place, place)
    if sign == closing then return found, place + 1 end
    if sign ~= "," then fail(place, "a comma or " .. closing) end
    place = place + 1
  end
end

function read_value(text, place, depth)
  if depth > DEPTH_MAX then fail(place, "a value that is less deep") end
  place = text:find("%S", place) or fail(place, "a value")
  local sign = text:sub(place, place)
  if sign == '"' then return read_text(text, place + 1) end
  if sign == "[" then
    return read_members(text, place + 1, "]", depth, function(at, count) return count, at end)
  end
  if sign == "{" then
    return read_members(text, place + 1, "}", depth, function(at)
      local quote = text:match('^%s*"()', at) or fail(at, "a key in quotes")
      local key, behind = read_text(text, quote)
      return key, text:match("^%s*:()", behind) or fail(behind, "a colon")
    end)
  end
  local word = text:match("^%-?%d[%d.eE+-]*", place)
  if word then return tonumber(word) or fail(place, "a number"), place + #word end
  word = text:match("^%a+", place)
  if word == nil or WORDS[word] == nil then fail(place, "a value") end
  return WORDS[word], place + #word
end

-- The value that a text is. Raises an error naming the byte where it is none.
function json.read(text)
  local value, place = read_value(text, 1, 0)
  local rest = text:find("%S", place)
  if rest then fail(rest, "the end") end
  return value
end

-- The value at a path such as items.0.name; nil where there is none.
function json.at(value, path)
  for key in path:gmatch("[^.]+") do
    if type(value) ~= "table" or value == json.null then return nil end
    local found = value[key]
    if found == nil and key:find("^%d+$") then found = value[tonumber(key)] end
    value = found
    if value == nil then return nil end
  end
  return value
end

-- Of one type, and equal; what is expected is never an object or an array.
function json.same(found, expected) return found == expected end

return json
