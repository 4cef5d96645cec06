"""Collateral: what counts against each requirement, whose law holds it, where it may go, what it costs to post.

Call `balances(requirements, credits, posted, market)` for required, posted, excess, deficit and locked per pot, owner,
firm and segregation class; `allocate` for the cheapest way to cover them; `margin_calls` and `reserve_effect` on the
result; `may_move` for one wall. Schedules, walls and call terms are the dated `.toml` files beside the code.
"""

from crossmargin.collateral.allocation import Allocation, WallPrice, allocate
from crossmargin.collateral.assets import unit_values
from crossmargin.collateral.balance import Balance, CollateralReport
from crossmargin.collateral.calls import Call, margin_calls
from crossmargin.collateral.covering import balances
from crossmargin.collateral.movements import Movement
from crossmargin.collateral.reserve import note_h_decision, reserve_effect
from crossmargin.collateral.schedules import Schedules, Term, collateral_rules
from crossmargin.collateral.text import collateral_text
from crossmargin.collateral.walls import may_move
from crossmargin.posted import Asset, Cash, OtherAsset, Place, Posted

__all__ = [
    "Allocation",
    "Asset",
    "Balance",
    "Call",
    "Cash",
    "CollateralReport",
    "Movement",
    "OtherAsset",
    "Place",
    "Posted",
    "Schedules",
    "Term",
    "WallPrice",
    "allocate",
    "balances",
    "collateral_rules",
    "collateral_text",
    "margin_calls",
    "may_move",
    "note_h_decision",
    "reserve_effect",
    "unit_values",
]
