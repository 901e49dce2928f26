"""Customers and their orders."""

import os

from flask import Flask

from .models import Session, connect
from .views import views


def create_app() -> Flask:
    app = Flask(__name__)
    connect(os.environ["DATABASE_URL"])
    app.register_blueprint(views)

    @app.teardown_appcontext
    def give_back(_error: BaseException | None) -> None:
        Session.remove()

    return app
