"""A request takes so much CPU and then waits so long, as the environment says. It knows nothing of wrklab."""

import os
import time

CPU_MS, WAIT_MS = float(os.environ.get("CPU_MS", "0")), float(os.environ.get("WAIT_MS", "0"))


def app(environ, start_response):
    end_s = time.thread_time() + CPU_MS / 1000
    while time.thread_time() < end_s:
        pass
    time.sleep(WAIT_MS / 1000)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "4")])
    return [b"done"]
