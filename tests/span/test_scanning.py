"""Scan risk: published records, ties, pairs, the split of the risk, many accounts, gross accounts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crossmargin.errors import InputError
from crossmargin.span.scanning import (
    ScanRisk,
    gross_scan_risk,
    merged,
    net_delta,
    pooled_losses,
    scan,
    scan_risks,
    split_risk,
    weighted_price_risk,
)

ES = [0, 0, -2000, -2000, 2000, 2000, -4000, -4000, 4000, 4000, -6000, -6000, 6000, 6000, -5940, 5940]
ZN = [0, 0, -350, -350, 350, 350, -700, -700, 700, 700, -1050, -1050, 1050, 1050, -1040, 1040]


def test_two_short_e_minis():
    found = scan(pooled_losses([ES], [-2]))
    assert (found.active_scenario, found.paired_scenario, found.risk.scan_risk) == (11, 12, 12000)


@pytest.mark.parametrize(("worst", "pair"), [(1, 2), (2, 1), (7, 8), (14, 13), (15, 15), (16, 16)])
def test_the_pair_differs_by_volatility_only(worst, pair):
    losses = [0.0] * 16
    losses[worst - 1] = 10.0
    found = scan(losses)
    assert (found.active_scenario, found.paired_scenario) == (worst, pair)
    assert found.risk.volatility_adjusted_scan_risk == (10 if worst > 14 else 5)


def test_of_equal_losses_the_first_governs():
    assert scan([3.0] * 16).active_scenario == 1
    assert scan(np.array(ES)).active_scenario == 13  # an array is as good as a list


def test_a_book_that_gains_everywhere_has_no_scan_risk():
    found = scan([-5.0] * 16).risk
    assert (found.scan_risk, found.time_risk, found.volatility_risk, found.futures_price_risk) == (0, -5, 5, 0)


@pytest.mark.parametrize("bad", [[], [1.0, 2.0], [1.0] * 15, [math.nan] * 16, [math.inf] + [0.0] * 15, ["1"] * 16])
def test_losses_that_are_none_are_refused(bad):
    with pytest.raises(InputError):
        scan(bad)


def test_the_parts_add_up():
    risk = split_risk(5000, 4400, 300, -100)
    assert risk.time_risk + risk.futures_price_risk + risk.volatility_risk == risk.scan_risk == 5000


def test_tiers_are_added():
    assert merged([ScanRisk(5, 1, 4), ScanRisk(7, -2, 6)]) == ScanRisk(12, -1, 10)
    assert merged([]) == ScanRisk(0, 0, 0)


def test_the_order_of_positions_changes_no_bit():
    arrays, held = [[0.1] * 16, [0.2] * 16, [-0.3] * 16], [1e9, 1e-3, 1.0]
    assert pooled_losses(arrays, held) == pooled_losses(arrays[::-1], held[::-1])


# --------------------------------------------------------------------------------------------------- delta, price risk


@pytest.mark.parametrize(("parts", "net"), [([0.1, 0.2, -0.3], 0), ([], 0), ([1e9, -1e9, 0.5], 0.5), ([5, -2], 3)])
def test_rounding_leaves_no_delta(parts, net):
    assert net_delta(parts) == net


def test_without_delta_there_is_nothing_to_weigh():
    assert weighted_price_risk(500, 0) is None
    assert weighted_price_risk(500, 0, method="scan_range_cap", price_scan_range=100) is None
    assert weighted_price_risk(500, 0, method="scan_range", price_scan_range=100) == 100


@pytest.mark.parametrize(("risk", "expected"), [(100, 100), (5000, 4000)])
def test_the_cap_is_the_scan_range_of_one_delta(risk, expected):
    more = {"method": "scan_range_cap", "price_scan_range": 800, "delta_scaling_factor": 0.2}
    assert weighted_price_risk(risk, -1, **more) == expected


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "scan_rang"},
        {"method": "scan_range"},
        {"method": "scan_range", "price_scan_range": -1},
        {"method": "scan_range", "price_scan_range": 1, "delta_scaling_factor": 0},
    ],
)
def test_a_method_without_what_it_needs_is_refused(bad):
    with pytest.raises(InputError):
        weighted_price_risk(1.0, 1.0, **bad)


def test_a_price_risk_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="net_delta"):
        weighted_price_risk(1.0, math.nan)


# --------------------------------------------------------------------------------------------- gross and many accounts


def test_an_omnibus_account_nets_nothing():
    assert gross_scan_risk([ES], [3], [2]) == 30000
    assert gross_scan_risk(np.zeros((0, 16)), [], []) == gross_scan_risk([], [], []) == 0


def test_a_short_option_has_a_worst_scenario_of_its_own():
    assert gross_scan_risk([[-10, 4, 0, 2]], [2], [3]) == 2 * 4 + 3 * 10


@pytest.mark.parametrize(("long", "short"), [([-1], [0]), ([1], [math.nan]), ([1, 2], [0])])
def test_counts_that_do_not_count_are_refused(long, short):
    with pytest.raises(InputError):
        gross_scan_risk([ES], long, short)


def test_accounts_without_holdings_owe_nothing():
    found = scan_risks([ES, ZN], account_start=[0, 0, 2, 2], contract=[0, 1], quantity=[1, 1])
    assert found.tolist() == [0, 7050, 0]
    assert scan_risks([ES], account_start=[0], contract=[], quantity=[]).shape == (0,)
    assert scan_risks(np.zeros((0, 16)), account_start=[0, 0], contract=[], quantity=[]).tolist() == [0]


def test_commodities_of_an_account_do_not_net():
    book = {"account_start": [0, 2], "contract": [0, 1], "quantity": [1, -5]}
    assert scan_risks([ES, ZN], **book, commodity=[10**9, -4]).tolist() == [6000 + 5250]
    assert scan_risks([ES, ZN], **book).tolist() == [6000 - 5250]


@pytest.mark.parametrize(
    "bad",
    [
        {"account_start": [0, 1]},
        {"account_start": [1, 2]},
        {"account_start": [0, 3, 2]},
        {"account_start": []},
        {"contract": [0, 2]},
        {"contract": [0, -1]},
        {"contract": [0.5, 1.0]},
        {"quantity": [1.0, math.nan]},
        {"quantity": [1.0]},
        {"commodity": [1]},
    ],
)
def test_a_book_that_does_not_fit_is_refused(bad):
    book = {"account_start": [0, 2], "contract": [0, 1], "quantity": [1.0, 2.0]}
    with pytest.raises(InputError):
        scan_risks([ES, ZN], **{**book, **bad})


def test_a_table_that_is_none_is_refused():
    for table in (ES, [[math.nan] * 16]):
        with pytest.raises(InputError, match="loss_arrays"):
            scan_risks(table, account_start=[0], contract=[], quantity=[])
