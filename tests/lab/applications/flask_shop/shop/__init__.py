"""A small shop with a list of items in SQLite. It knows nothing of wrklab."""

import os
import sqlite3

from flask import Flask, Response, abort, jsonify, request


def create_app() -> Flask:
    """The application."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = os.environ["SHOP_SECRET_KEY"]
    app.config["DATABASE"] = os.environ.get("SHOP_DATABASE", "shop.sqlite3")

    def database() -> sqlite3.Connection:
        return sqlite3.connect(app.config["DATABASE"], timeout=10)

    @app.get("/")
    def front() -> str:
        return "<h1>Shop</h1>"

    @app.get("/items")
    def items() -> Response:
        with database() as connection:
            rows = connection.execute("SELECT id, name FROM item ORDER BY id LIMIT 20").fetchall()
        return jsonify(items=[{"id": number, "name": name} for number, name in rows])

    @app.post("/items")
    def create() -> tuple[Response, int]:
        name = (request.get_json(silent=True) or {}).get("name")
        if not name:
            abort(400)
        with database() as connection:
            number = connection.execute("INSERT INTO item (name) VALUES (?)", (name,)).lastrowid
        return jsonify(id=number, name=name), 201

    @app.get("/whoami")
    def whoami() -> Response:
        """What no application should do: it shows its key, and writes it into its log."""
        app.logger.error("the key is %s", app.config["SECRET_KEY"])
        return jsonify(key=app.config["SECRET_KEY"])

    return app
