-- What each location of nginx.conf answers.

local hold_s = assert(tonumber(os.getenv("WRKLAB_HOLD_MS")), "WRKLAB_HOLD_MS is not a number") / 1000
-- The same in every stack: about 5 ms of CPython on a current core.
local CPU_STEPS = 100000

-- The value of Park and Miller's random number generator after `steps` steps from 1. Every product stays below 2^46, so
-- Lua's doubles are exact.
local function minimal_standard(steps)
    local value = 1
    for _ = 1, steps do
        value = value * 16807 % 2147483647
    end
    return value
end

local app = {}

function app.health()
    if hold_s > 0 then -- sleep(0) would still yield
        ngx.sleep(hold_s)
    end
    ngx.print("ok")
end

function app.index()
    ngx.print("ok")
end

function app.cpu()
    ngx.print(string.format("%d", minimal_standard(CPU_STEPS)))
end

return app
