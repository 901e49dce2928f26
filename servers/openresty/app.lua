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

-- Tells the probe that a handler starts (S) or finishes (F), by one write; docs/probe.md has the format. A worker has one
-- thread, whose number is its pid.
io.stderr:setvbuf("no")
local function note(mark, id)
    ngx.update_time() -- nginx's clock stands still between events
    local pid = ngx.worker.pid()
    io.stderr:write(string.format("wrklab-probe %s %d %d %d %d %.3f loop\n", mark, id, pid, pid, pid, ngx.now()))
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

-- `ok` at the deadline of the URL; notes start and finish.
function app.probe()
    local asked = ngx.req.get_uri_args()
    local id, deadline = tonumber(asked.id), tonumber(asked["until"])
    if not id or not deadline then
        ngx.status = ngx.HTTP_BAD_REQUEST
        return ngx.print("GET /probe?id=NUMBER&until=EPOCH_S")
    end
    note("S", id)
    ngx.sleep(math.max(0, deadline - ngx.now()))
    note("F", id)
    ngx.print("ok")
end

return app
