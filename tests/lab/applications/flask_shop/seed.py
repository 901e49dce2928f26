"""Makes the database, with a few items in it."""

import os
import sqlite3

with sqlite3.connect(os.environ.get("SHOP_DATABASE", "shop.sqlite3")) as connection:
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    connection.executemany("INSERT INTO item (name) VALUES (?)", [(f"item {number}",) for number in range(100)])
