"""CME portfolio margining of cleared swaps and rate futures: futures move into the account of the swaps, one pot.

Rate futures and options on them, held in the cleared-swaps account of the same owner at the same firm, are margined
with the swaps over the swaps' five days. `requirement` asks the model, `TESTS` are the conditions. Which futures to
move is the owner's choice: what stays in the futures account is margined there.
"""

from __future__ import annotations

from collections.abc import Mapping

from crossmargin import programmes
from crossmargin.accounts import AccountClass, Registration
from crossmargin.eligibility import Case, Test
from crossmargin.parameters import Reader
from crossmargin.portfolio import Pool
from crossmargin.products.futures import ShortRateFuture, TreasuryFuture
from crossmargin.products.options import FutureOption
from crossmargin.results import Line


def requirement(pool: Pool, models: programmes.Models, p: Reader) -> Line:
    """Return what the swaps and the futures moved to them ask for together, USD, never negative.

    References
    ----------
    CME Group, portfolio margining of cleared OTC interest-rate swaps and interest-rate futures.
    """
    return programmes.one_pot("cme_swaps_futures requirement", pool, models, p)


def _rate_contract(case: Case, p: Reader) -> bool:
    held = case.position.product
    future = held.underlying if isinstance(held, FutureOption) else held
    return not isinstance(future, TreasuryFuture | ShortRateFuture) or future.contract in p.futures_contracts


TESTS: Mapping[str, Test] = {
    "programme_open": programmes.programme_open,
    "directed": programmes.directed_to("cme_swaps_futures"),
    "futures_commission_merchant": programmes.registered(Registration.FCM),
    "common_member": programmes.common_member,
    "house_owner": programmes.house_owner,
    "account_class": programmes.in_class(AccountClass.CFTC_4D_F),
    "same_owner": programmes.same_owner,
    "product_list": programmes.product_list,
    "rate_contract": _rate_contract,
}
