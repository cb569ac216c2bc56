"""The handlers of the example plans: a small shop that makes things up.

`planstream worker --handlers examples.handlers`
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from agents import ActionError, StepContext, action


class Order(BaseModel):
    """Which order a step is about."""

    order: str


class Charge(BaseModel):
    """What is to be paid with which card."""

    card: str
    cents: int = Field(gt=0)


class Parcel(BaseModel):
    """What one warehouse packs."""

    warehouse: str
    items: list[str]
    takes_ms: int = Field(default=0, ge=0)


class Notice(BaseModel):
    """Whom to tell what."""

    to: str
    text: str


class Quote(BaseModel):
    """A price asked of a carrier that is busy for the first attempts."""

    carrier: str
    busy_for: int = Field(default=0, ge=0)


@action("reserve-stock")
async def reserve_stock(step: StepContext, payload: Order) -> dict[str, str]:
    """Reserves what an order needs, once, however often it is asked to."""
    return {"order": payload.order, "reservation": step.idempotency_key}


@action("charge-card")
async def charge_card(step: StepContext, payload: Charge) -> dict[str, Any]:
    """Charges a card; one that ends in 0000 is declined."""
    if payload.card.endswith("0000"):
        raise ActionError("CARD_DECLINED", f"the issuer refused {payload.cents} cents")
    return {"receipt": step.idempotency_key, "cents": payload.cents}


@action("pack-parcel")
async def pack_parcel(step: StepContext, payload: Parcel) -> dict[str, Any]:
    """Packs what one warehouse has; an empty parcel is worth a warning."""
    if not payload.items:
        step.warn("EMPTY_PARCEL", f"{payload.warehouse} has nothing to pack")
    await asyncio.sleep(payload.takes_ms / 1000)
    return {"warehouse": payload.warehouse, "items": len(payload.items)}


@action("ship-order")
async def ship_order(step: StepContext, payload: Order) -> dict[str, Any]:
    """Hands an order's parcels to the carrier that the environment names."""
    return {"order": payload.order, "carrier": step.environment["carrier"]}


@action("send-mail")
async def send_mail(step: StepContext, payload: Notice) -> None:
    """Tells a customer; an address without an @ cannot be told anything."""
    if "@" not in payload.to:
        raise ActionError("BAD_ADDRESS", f"{payload.to} is no address")
    step.logger.info("to %s: %s", payload.to, payload.text)


@action("ask-quote")
async def ask_quote(step: StepContext, payload: Quote) -> dict[str, Any]:
    """Asks a carrier for a price; it is busy for the first `busy_for` attempts."""
    if step.attempt <= payload.busy_for:
        raise ActionError("CARRIER_BUSY", f"{payload.carrier} did not answer")
    return {"carrier": payload.carrier, "cents": 490, "attempts": step.attempt}
