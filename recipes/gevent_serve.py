"""Serves a WSGI application with gevent's WSGIServer: gevent_serve.py module:attribute --port PORT."""

from gevent import monkey

monkey.patch_all()  # before all else: what is imported first keeps its blocking calls

import argparse  # noqa: E402
import operator  # noqa: E402
import sys  # noqa: E402
from importlib import import_module  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402


def main() -> None:
    """Serves until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entry", help="module:attribute")
    parser.add_argument("--app-dir", required=True, help="folder that the module is found in")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True, help="connections at once; others wait in the queue")
    parser.add_argument("--backlog", type=int, default=128, help="the listening socket's")
    options = parser.parse_args()
    sys.path.insert(0, options.app_dir)
    module, _, attribute = options.entry.partition(":")
    application = operator.attrgetter(attribute)(import_module(module))
    address = ("0.0.0.0", options.port)
    WSGIServer(address, application, backlog=options.backlog, spawn=options.connections, log=None).serve_forever()


if __name__ == "__main__":
    main()
