"""Runs the application on the servers that are started from Python: Flask's own (`dev`) and gevent's (`gevent`)."""

import argparse
import importlib


def main() -> None:
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    servers = parser.add_subparsers(dest="server", required=True)
    dev = servers.add_parser("dev", help="app.run(): werkzeug, a thread a request")
    dev.add_argument("--view", choices=("sync", "async", "async_blocking"), required=True)
    dev.add_argument("--single", action="store_true", help="threaded=False: one request after the other")
    dev.add_argument("--processes", type=int, default=1, help="threaded=False, a process a request, so many at once")
    dev.add_argument("--backlog", type=int, help="the listening socket's (werkzeug has no option for its 128)")
    gevent = servers.add_parser("gevent", help="gevent.pywsgi.WSGIServer")
    gevent.add_argument(
        "--patch",
        choices=("never", "late", "first"),
        required=True,
        help="when monkey.patch_all() runs: never, after app.py took time.sleep, or before it",
    )
    options = parser.parse_args()
    if options.server == "dev":
        threaded = not options.single and options.processes == 1
        serve_dev(options.port, options.view, threaded=threaded, processes=options.processes, backlog=options.backlog)
    else:
        serve_gevent(options.port, options.patch)


def serve_dev(port: int, view: str, *, threaded: bool, processes: int, backlog: int | None) -> None:
    """Flask's development server by app.run(), whose own defaults are threaded, one process and a backlog of 128."""
    app = importlib.import_module("app")
    if backlog is not None:
        from werkzeug.serving import BaseWSGIServer

        BaseWSGIServer.request_queue_size = backlog
    views = {"sync": app.sync_app, "async": app.async_app, "async_blocking": app.async_blocking_app}
    views[view].run(host="0.0.0.0", port=port, threaded=threaded, processes=processes)


def serve_gevent(port: int, patch: str) -> None:
    """gevent.pywsgi. `from time import sleep` in app.py takes the cooperative sleep only if patched first."""
    from gevent import monkey

    if patch == "first":
        monkey.patch_all()
    app = importlib.import_module("app")
    if patch == "late":
        monkey.patch_all()
    from gevent.pywsgi import WSGIServer  # before or after patching: no difference

    WSGIServer(("0.0.0.0", port), app.sync_app).serve_forever()


if __name__ == "__main__":
    main()
