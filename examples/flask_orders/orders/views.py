"""What visitors ask for."""

from flask import Blueprint, abort, jsonify, request
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from .models import Customer, Line, Order, Session

PAGE_SIZE = 25
views = Blueprint("views", __name__)


def as_json(order: Order) -> dict:
    return {
        "id": order.id,
        "customer": order.customer.name,
        "placed_at": order.placed_at.isoformat(),
        "total_cents": order.total_cents,
    }


@views.get("/orders")
def list_orders():
    page = max(1, request.args.get("page", 1, type=int))
    chosen = (
        select(Order)
        .options(joinedload(Order.customer), selectinload(Order.lines))
        .order_by(Order.id)
        .offset((page - 1) * PAGE_SIZE)
        .limit(PAGE_SIZE)
    )
    return jsonify(orders=[as_json(order) for order in Session.scalars(chosen)])


@views.get("/orders/<int:number>")
def show_order(number: int):
    order = Session.get(Order, number)
    if order is None:
        abort(404)
    lines = [{"article": line.article, "count": line.count} for line in order.lines]
    return jsonify(as_json(order) | {"lines": lines})


@views.post("/orders")
def place_order():
    asked = request.get_json()
    customer = Session.get(Customer, asked.get("customer_id"))
    if customer is None or not asked.get("lines"):
        abort(400)
    order = Order(customer=customer, lines=[Line(**line) for line in asked["lines"]])
    Session.add(order)
    Session.commit()
    return jsonify(as_json(order)), 201
