-- Connections of an open loop are opened when their request is due, as clients open them.
--
-- wrk opens a connection at its start, and again after an answer that ended one, and lets it wait for its slot. A server
-- whose worker waits for the request of one connection (gunicorn's sync worker, its threads) then serves nobody else
-- until that slot. So a connection that has carried no answer yet is closed, and its descriptor becomes one end of a
-- pair of sockets that refuses to be written to: at the slot wrk tries, counts a write error, connects and sends
-- (socket_writeable and reconnect_socket in src/wrk.c of wrk 4.1.0 and 4.2.0). `opened` counts those errors.
--
-- The connections of wrk's start never reach the server: all at once they would fill the accept queue of many. They are
-- of UDP, whose connect() sends nothing. With WRKLAB_OPEN_EARLY they are opened and stay open: a pool that is warm.

local ffi = require("ffi")
local bit = require("bit")

ffi.cdef [[
  int socketpair(int domain, int type, int protocol, int pair[2]);
  int shutdown(int fd, int how);
  int dup2(int from, int to);
  int getsockopt(int fd, int level, int name, void *value, uint32_t *length);
  int epoll_ctl(int epoll, int operation, int fd, void *event);
  typedef struct {
    int flags, family, type, protocol; uint32_t length; void *address; char *name; void *next;
  } wrklab_address;
]]

local AF_UNIX, SOCK_STREAM, SOCK_DGRAM, SHUT_WR = 1, 1, 2, 1
local SOL_SOCKET, SO_COOKIE, IPPROTO_TCP, TCP_INFO = 1, 57, 6, 11
local EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLLIN, EPOLLIN_OUT = 1, 3, 1, 5
local WRITABLE = 2
-- struct tcp_info (linux/tcp.h) up to tcpi_bytes_received, which is its 64-bit word 16.
local TCP_INFO_BYTES, BYTES_RECEIVED = 136, 16

local polls_otherwise =
  "this wrk polls its connections otherwise than wrk 4.1.0 and 4.2.0 with epoll: an open loop needs one of these"

local connections = {}

local opens_early = os.getenv("WRKLAB_OPEN_EARLY") ~= nil
local thread, epoll = nil, nil
-- wrk's address of the server, until the first connections are made; and the same one for UDP.
local address, silent_address = nil, ffi.new("wrklab_address")
local refusing, own_cookie = nil, nil
local words, length = ffi.new("uint64_t[17]"), ffi.new("uint32_t[1]")
-- struct epoll_event is packed on x86-64 only, so it is written as bytes: 4 of events, then the descriptor.
local event = ffi.new("uint8_t[16]")
-- Assigned once: LuaJIT 2.1.0-beta3 compiles sums of a pointer and a number that changes wrongly.
local event_bytes = ffi.arch == "x64" and 12 or 16
local event_fd_at = ffi.arch == "x64" and 4 or 8
-- Descriptors that rested at least once, and how often any did.
local rested_fds, rests = {}, 0

local function socket_value(fd, level, name, bytes)
  length[0] = bytes
  return ffi.C.getsockopt(fd, level, name, words, length) == 0
end

local function cookie_of(fd)
  return socket_value(fd, SOL_SOCKET, SO_COOKIE, 8) and words[0] or nil
end

local function watch(operation, fd, events)
  ffi.cast("uint32_t *", event)[0] = events
  ffi.cast("int32_t *", event + event_fd_at)[0] = fd
  return ffi.C.epoll_ctl(epoll, operation, fd, event) == 0
end

-- What a connection is known by as long as wrk runs, whatever socket it has.
function connections.key_of(connection)
  return tonumber(ffi.cast("intptr_t", connection))
end

-- Once, before the first connection is made.
function connections.begin(of_thread)
  thread = of_thread
  local pair = ffi.new("int[2]")
  assert(ffi.C.socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "a pair of sockets could not be made")
  ffi.C.shutdown(pair[0], SHUT_WR)
  refusing, own_cookie = pair[0], cookie_of(pair[0])
  ffi.fill(thread.loop.polling.events, thread.loop.setsize * event_bytes, 0xff)
  if opens_early then return end
  address = thread.address
  ffi.copy(silent_address, address, ffi.sizeof("wrklab_address"))
  silent_address.type, silent_address.protocol = SOCK_DGRAM, 0
  thread.address = silent_address
end

-- Whether wrk may be calling `delay` for the connection behind a descriptor that epoll gave it.
local function may_ask(fired)
  if fired.fd < 0 or bit.band(fired.mask, WRITABLE) == 0 then return nil end
  local file = thread.loop.events[fired.fd]
  -- While a connection is being opened both are one function.
  if bit.band(file.mask, WRITABLE) == 0 or file.on_readable == file.on_writable then return nil end
  local connection = ffi.cast("wrklab_connection *", file.data)
  return connection.delayed and connection.fd == fired.fd and connection.thread == thread and connection or nil
end

-- How many descriptors epoll gave wrk in this round, at least. wrk has copied them, so each is overwritten when it was
-- counted: where the next round ends they are found again.
local function count_round()
  local loop = thread.loop
  local first = ffi.cast("int32_t *", loop.polling.events + event_fd_at)
  if first[0] ~= loop.fired[0].fd then error(polls_otherwise) end
  for place = 0, loop.setsize - 1 do
    local fd = ffi.cast("int32_t *", loop.polling.events + (place * event_bytes + event_fd_at))
    if fd[0] == -1 then return place end
    fd[0] = -1
  end
  return loop.setsize
end

-- The connection that wrk calls `delay` for, which it does not say. wrk goes through the descriptors of a round in order,
-- and the first one is marked, so that a new round is known: wrk has read it by then. A connection that was opened in
-- this very round looks like one that asks, and asks in the next round. Where more than one may ask, nil: the timer that
-- wrk makes for this call tells at the next one.
local past_place, round_end = 0, 0
function connections.asked()
  if address then thread.address, address = address, nil end
  local loop, found = thread.loop, nil
  if loop.fired[0].fd ~= -1 then
    past_place, round_end = 0, count_round()
  end
  for place = past_place, round_end - 1 do
    local connection = may_ask(loop.fired[place])
    if connection and not found then
      found, past_place = connection, place
    elseif connection and connection ~= found then
      found = nil
      break
    end
  end
  loop.fired[0].fd = -1
  return found
end

-- The number that wrk gives to the timer of the call that goes on.
function connections.next_timer()
  return thread.loop.next_id
end

-- The timer of the call before this one, by its number, and its connection.
function connections.newest_timer(id)
  local timer = thread.loop.timers
  local connection = timer ~= nil and ffi.cast("wrklab_connection *", timer.data)
  if not connection or timer.id ~= id or connection.thread ~= thread then
    error("this wrk keeps its timers otherwise than wrk 4.1.0 and 4.2.0: an open loop needs one of these")
  end
  return timer, connection
end

-- Ends wrk where its descriptors are not polled as expected.
local function find_epoll(fd, events)
  epoll = thread.loop.polling.epoll
  if not watch(EPOLL_CTL_MOD, fd, events) then
    error(polls_otherwise)
  end
end

-- Closes a connection that has carried no answer yet until wrk writes to it; whether it rests now. `is_first`: it is one
-- of wrk's start.
function connections.rest(connection, is_first)
  if is_first and opens_early then return false end
  local fd = connection.fd
  if socket_value(fd, IPPROTO_TCP, TCP_INFO, TCP_INFO_BYTES) then
    if words[BYTES_RECEIVED] ~= 0 then return false end
  elseif cookie_of(fd) == own_cookie then
    return true
  end
  local is_asking = bit.band(thread.loop.events[fd].mask, WRITABLE) ~= 0
  if not epoll then find_epoll(fd, is_asking and EPOLLIN_OUT or EPOLLIN) end
  -- epoll forgets the descriptor with the connection; wrk goes by its own mask, which stays true by this.
  if ffi.C.dup2(refusing, fd) ~= fd or not watch(EPOLL_CTL_ADD, fd, is_asking and EPOLLIN_OUT or EPOLLIN) then
    error("a connection could not be put aside until its request is due")
  end
  rested_fds[fd] = true
  rests = rests + 1
  return true
end

-- How many connections were opened by a write that was refused. Also right when the thread has ended.
function connections.opened()
  local resting = 0
  for fd in pairs(rested_fds) do
    if cookie_of(fd) == own_cookie then resting = resting + 1 end
  end
  return rests - resting
end

return connections
