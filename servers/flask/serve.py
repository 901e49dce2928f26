"""Runs the application on the servers that are started from Python: Flask's own (`dev`) and gevent's (`gevent`)."""

import argparse
import importlib


def main() -> None:
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    servers = parser.add_subparsers(dest="server", required=True)
    dev = servers.add_parser("dev", help="app.run(): werkzeug, a thread a request")
    dev.add_argument("--view", choices=("sync", "async"), required=True)
    gevent = servers.add_parser("gevent", help="gevent.pywsgi.WSGIServer")
    gevent.add_argument(
        "--patch",
        choices=("never", "late", "first"),
        required=True,
        help="when monkey.patch_all() runs: never, after app.py took time.sleep, or before it",
    )
    options = parser.parse_args()
    if options.server == "dev":
        serve_dev(options.port, options.view)
    else:
        serve_gevent(options.port, options.patch)


def serve_dev(port: int, view: str) -> None:
    """Flask's development server, with the options that app.run() has by default."""
    app = importlib.import_module("app")
    {"sync": app.sync_app, "async": app.async_app}[view].run(host="0.0.0.0", port=port)


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
