-- Where wrk 4.1.0 and 4.2.0 keep what their Lua interface does not tell (src/wrk.h, src/ae.h, src/http_parser.h; the two
-- versions do not differ in these). The layout is private: whoever reads it checks first that it has what it must.

local ffi = require("ffi")

ffi.cdef [[
  typedef struct { int mask; void *on_readable; void *on_writable; void *data; } wrklab_file_event;
  typedef struct { int fd; int mask; } wrklab_fired_event;
  typedef struct wrklab_timer wrklab_timer;
  struct wrklab_timer { long long id; long when_s, when_ms; void *on_time, *on_end, *data; wrklab_timer *next; };
  typedef struct {
    int maxfd, setsize; long long next_id; long last_time; wrklab_file_event *events; wrklab_fired_event *fired;
    wrklab_timer *timers; int stop; struct { int epoll; uint8_t *events; } *polling;
  } wrklab_loop;
  typedef struct { char *buffer; size_t length; char *cursor; } wrklab_buffer;
  typedef struct wrklab_connection wrklab_connection;
  typedef struct {
    unsigned long thread; wrklab_loop *loop; void *address; uint64_t connections, complete, requests, bytes, start;
    void *lua; uint32_t connect_errors, read_errors, write_errors, status_errors, timeout_errors;
    wrklab_connection *connections_array;
  } wrklab_thread;
  struct wrklab_connection {
    wrklab_thread *thread;
    struct { uint32_t bits, nread; uint64_t content_length; uint16_t major, minor; uint32_t status; void *data; } parser;
    int state, fd; void *ssl; bool delayed; uint64_t start; char *request; size_t length, written; uint64_t pending;
    wrklab_buffer headers, body; char read[8192];
  };
]]

local layout = {}

-- The structure behind `wrk.thread`.
function layout.thread_of(userdata)
  return ffi.cast("wrklab_thread **", userdata)[0]
end

return layout
