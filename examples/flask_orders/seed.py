"""Makes the tables and fills them with customers and orders; those that were there are gone."""

import os
import random

from orders.models import Base, Customer, Line, Order, Session, connect

CUSTOMERS, ORDERS = 200, 2000
ARTICLES = ("pen", "paper", "ink", "ruler", "stapler")


def main() -> None:
    chance = random.Random(1)
    engine = connect(os.environ["DATABASE_URL"])
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    customers = [Customer(name=f"customer {number}") for number in range(1, CUSTOMERS + 1)]
    Session.add_all(customers)
    for _ in range(ORDERS):
        articles = chance.sample(ARTICLES, chance.randint(1, 3))
        lines = [
            Line(article=name, count=chance.randint(1, 9), price_cents=chance.randint(50, 900)) for name in articles
        ]
        Session.add(Order(customer=chance.choice(customers), lines=lines))
    Session.commit()


if __name__ == "__main__":
    main()
