"""Cutting a book of options and stock into margined groups at the least total requirement, with proof.

Call `pair` with `Contracts`: arrays of series, the cost of leaving each short one alone, and the groups that stock may
form. It returns a `Pairing`: the groups, their total, and a bound below which no admissible cut can go. What things
cost is the caller's business: no product, no rate and no rule lives here. `strategy_name` names a group by its shape.
"""

from crossmargin.pairing.groups import pair, strategy_name
from crossmargin.pairing.model import Contracts, Group, Hedge, Pairing, largest_loss

__all__ = ["Contracts", "Group", "Hedge", "Pairing", "largest_loss", "pair", "strategy_name"]
