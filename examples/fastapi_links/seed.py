"""Makes the table of links and fills it; links that were there are gone."""

import asyncio
import os

import asyncpg

LINKS = 1000


async def main() -> None:
    database = await asyncpg.connect(os.environ["DATABASE_URL"])
    await database.execute("DROP TABLE IF EXISTS link")
    await database.execute("CREATE TABLE link (id serial PRIMARY KEY, code text UNIQUE NOT NULL, url text NOT NULL)")
    links = [(f"code{number}", f"https://example.org/pages/{number}") for number in range(1, LINKS + 1)]
    await database.executemany("INSERT INTO link (code, url) VALUES ($1, $2)", links)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
