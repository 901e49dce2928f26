"""The database computes, the application waits for it. It knows nothing of wrklab."""

import os

from flask import Flask
from sqlalchemy import create_engine, text

app = Flask(__name__)
engine = create_engine(
    os.environ["DATABASE_URL"],
    pool_size=int(os.environ["POOL_SIZE"]),
    max_overflow=0,
    pool_timeout=float(os.environ["POOL_WAIT_S"]),
)
SUM = text("SELECT sum(n) FROM generate_series(1, 60000) AS n")


@app.get("/")
def total():
    with engine.connect() as connection:
        return {"sum": int(connection.execute(SUM).scalar_one())}
