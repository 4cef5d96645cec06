"""A batch completed by reports: every total that of its report, whatever the order, the shards and the engine."""

from __future__ import annotations

import concurrent.futures as cf
from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.batch import Positions, completing, margin_many, plan
from crossmargin.batch.spill import cut_positions, margin_to_files
from crossmargin.errors import InputError, Problem
from crossmargin.margin import compare
from crossmargin.products.equities import ETF, Stock
from crossmargin.products.options import ListedOption
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.regimes import CROSS_MARGIN, SILOED, regime, with_rulesets
from crossmargin.registry import rules
from crossmargin.results import LEVELS
from tests.engine_doubles import Inline, Mapping

CENT = 0.005
STRATEGY = regime("strategy_margin")


@cache
def made(name="equity_options", regimes=(SILOED, STRATEGY)):
    """A plan with every account of a sample as a template, and its P&L."""
    portfolio, market = getattr(samples, name)()
    patient = rules("finra_strategy").with_values(solver_seconds=1e4, because="no clock in a test of bits")
    planned = plan(portfolio.products, market, portfolio, settles=samples.SETTLES, regimes=regimes, rules=[patient])
    return planned, planned.revalue()


@cache
def rows_of_several():
    """Ten accounts of the equity sample: what it holds, doubled, halved and upside down, in an account of each kind."""
    planned, _ = made()
    portfolio, _ = samples.equity_options()
    names = [kind.account.id for kind in planned.kinds]
    rows = [
        (names.index(each.account) + len(names) * n, planned.products.index(each.product), times * each.quantity)
        for n, times in enumerate((1.0, 2.0, -1.0, -2.0, 3.0))
        for each in portfolio.positions
    ]
    account, product, quantity = map(np.array, zip(*rows, strict=True))
    labels = np.arange(account.max() + 1)
    return account, product, quantity, labels, labels % len(names)


@cache
def several():
    planned, pnl = made()
    return margin_many(Positions(*rows_of_several()), pnl, planned)


@cache
def completed():
    return several().completed()


def refuse_a_difference(many):
    """Compare every figure of every account with its report."""
    for place, account in enumerate(many.accounts.tolist()):
        found = compare(many.portfolio_of(account), many.plan.market, many.plan.regimes, rules=many.plan.rules)
        for report in found.reports:
            for level in LEVELS:
                assert many.whole(report.regime, level)[place]
                for name in ("gross", "credit", "total"):
                    ours, theirs = getattr(many, name)(report.regime, level)[place], getattr(report, name)(level) or 0.0
                    assert ours == pytest.approx(theirs, abs=CENT), (account, report.regime, level, name)


# ---------------------------------------------------------------------------------------------- the same as the report


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(-6, 6)), min_size=1, max_size=7), st.integers(0, 1))
@settings(max_examples=4, deadline=None)
def test_any_book_is_what_its_report_says(book, template):
    planned, pnl = made()
    held = [(number % len(planned.products), size) for number, size in book]
    sizes = [size * 100.0 if isinstance(planned.products[n], Stock | ETF) else float(size) for n, size in held]
    rows = Positions([0] * len(book), [n for n, _ in held], sizes, ["a"], [template])
    refuse_a_difference(margin_many(rows, pnl, planned).completed())


SPAN = with_rulesets(CROSS_MARGIN, {"cme_rates_futures": "span"})


@pytest.mark.parametrize(
    ("name", "regimes"),
    [
        ("basis_trade", (SPAN, regime("any_pair_two_pot"), regime("harmonized_with_guardrails"))),
        ("swap_book", (SILOED, regime("any_pair_two_pot"))),
        ("group", (CROSS_MARGIN,)),
    ],
    ids=lambda told: told if isinstance(told, str) else "",
)
def test_sample_books(name, regimes):
    portfolio, _ = getattr(samples, name)()
    held = [each for each in portfolio.positions if each.settles or not isinstance(each.product, TREASURY_SECURITIES)]
    planned, pnl = made(name, regimes)
    many = margin_many(Positions.from_portfolio(evolve(portfolio, positions=held), planned), pnl, planned)
    assert many.not_modelled
    full = many.completed()
    assert full.not_modelled == ()
    refuse_a_difference(full)


def test_what_formulas_answer_stays():
    portfolio, _ = samples.basis_trade()
    planned, pnl = made("basis_trade", (SILOED, CROSS_MARGIN))
    held = [each for each in portfolio.positions if each.settles or not isinstance(each.product, TREASURY_SECURITIES)]
    many = margin_many(Positions.from_portfolio(evolve(portfolio, positions=held), planned), pnl, planned)
    full = many.completed()
    for drawn in planned.regimes:
        for level in LEVELS:
            whole = many.whole(drawn, level)
            assert 0 < whole.sum() < len(whole)
            assert (full.total(drawn, level)[whole] == many.total(drawn, level)[whole]).all()
    assert full.values.tobytes() == many.values.tobytes()
    assert full.digest() != many.digest()
    gone = [gap for gap in many.gaps if gap.reported]
    assert gone
    assert not set(gone) & set(full.gaps)
    notes = [each for each in held if each.product.kind == "treasury_note"]
    alone = margin_many(Positions.from_portfolio(evolve(portfolio, positions=notes), planned), pnl, planned)
    assert alone.completed() is alone


def test_what_is_completed_is_completed():
    assert completed().completed() is completed()
    assert several().digest() != completed().digest()
    assert several().completed().digest() == completed().digest()


def test_nothing_to_complete():
    planned, pnl = made()
    for rows in (Positions([], [], []), Positions([], [], [], labels=["x"])):
        many = margin_many(rows, pnl, planned)
        assert many.completed() is many


# ----------------------------------------------------------------------------------------------------- the same bits


@given(st.randoms(use_true_random=False), st.integers(1, 7), st.sampled_from(["here", "threads", "files", "map"]))
@settings(max_examples=4, deadline=None)
def test_neither_order_nor_shards_nor_engines_change_a_bit(random, shard, name):
    planned, pnl = made()
    account, product, quantity, labels, template = rows_of_several()
    order = random.sample(range(len(account)), len(account))
    mixed = Positions(account[order], product[order], quantity[order], labels, template)
    with pytest.MonkeyPatch.context() as patch, cf.ThreadPoolExecutor(2) as pool:
        patch.setattr(completing, "SHARD", shard)
        engine = {"here": None, "threads": pool, "files": Inline(), "map": Mapping()}[name]
        full = margin_many(mixed, pnl, planned).completed(engine=engine, progress=False)
    assert full.digest() == completed().digest()
    assert full.gaps == completed().gaps
    for each in planned.regimes:
        assert (full.unmodelled(each) == completed().unmodelled(each)).all()


def test_progress_is_told():
    told = []
    several().completed(progress=lambda *about: told.append(about))
    assert told == [(0, 1, ""), (1, 1, "reports 0 to 9")]


def test_files_of_completed_accounts(tmp_path):
    planned, pnl = made()
    parts = cut_positions(Positions(*rows_of_several()), 3)
    plain = margin_to_files(parts, pnl, planned, tmp_path)
    assert not plain.column("siloed.customer.whole").any()
    full = margin_to_files(parts, pnl, planned, tmp_path, complete=True)
    assert not any(each.reused for each in full.files)
    for level in LEVELS:
        assert (full.column(f"siloed.{level}.total") == completed().total("siloed", level)).all()
        assert full.column(f"siloed.{level}.whole").all()
    again = margin_to_files(parts, pnl, planned, tmp_path, complete=True)
    assert all(each.reused for each in again.files)


# ------------------------------------------------------------------------------------------ what reports leave out too


def test_gaps_are_those_of_reports():
    many = completed()
    found = {(gap.regime, gap.level, gap.pot, gap.what): gap for gap in many.gaps}
    told = {}
    for account in many.accounts.tolist():
        portfolio = many.portfolio_of(account)
        ids = {each.id for each in portfolio.positions}
        mine = set()
        for report in compare(portfolio, many.plan.market, many.plan.regimes).reports:
            for asked in report.requirements:
                for line in (each for each in asked.line.walk() if each.how == "not_modelled"):
                    what = line.note if line.name.split(":")[0] in ids else line.name
                    mine.add((report.regime, asked.level, asked.pot, what))
        for each in mine:
            told[each] = told.get(each, 0) + 1
    assert told == {each: gap.accounts for each, gap in found.items()}
    assert not any(gap.reported for gap in many.gaps)


def test_positions_that_a_report_has_an_amount_for_are_counted():
    planned, pnl = made("basis_trade", (SILOED, CROSS_MARGIN))
    option = next(n for n, each in enumerate(planned.products) if isinstance(each, ListedOption))
    future = next(n for n, each in enumerate(planned.products) if each.kind == "treasury_future")
    kind = [each.account.id for each in planned.kinds].index("PAT-SEC")
    many = margin_many(Positions([0, 0], [option, future], [-5.0, 1.0], ["a"], [kind]), pnl, planned)
    assert many.unmodelled(SILOED).tolist() == [2]
    assert many.report_of("a").total("customer") > 0.0  # of the option; nobody margins a future there
    assert many.completed().unmodelled(SILOED).tolist() == [1]


def test_an_account_that_is_refused_loses_no_other():
    planned, pnl = made()
    option = next(n for n, each in enumerate(planned.products) if isinstance(each, ListedOption))
    rows = Positions([0, 1, 2, 2], [option] * 4, [1.0, 0.5, 2.0**53, 2.0**53], ["fine", "half", "far"], [0, 0, 0])
    many = margin_many(rows, pnl, planned)
    full = many.completed()
    assert full.whole("siloed", "customer").tolist() == [True, False, False]
    assert full.total("siloed", "customer")[0] == pytest.approx(full.report_of("fine").total("customer"), abs=CENT)
    assert full.total("siloed", "customer")[1] == many.total("siloed", "customer")[1]
    refused = {gap.what: gap.accounts for gap in full.gaps if gap.what.startswith("no report")}
    assert len(refused) == 2
    assert set(refused.values()) == {1}
    with pytest.raises(InputError):
        full.report_of("half")
    assert any(gap.reported and gap.accounts == 2 for gap in full.gaps)


# -------------------------------------------------------------------------------------------- what cannot be shared


def test_without_anything_to_share_the_figures_are_the_same(monkeypatch):
    def refuses(*_, **__):
        raise InputError([Problem("is not there.", "history")])

    monkeypatch.setattr(completing, "prepare", refuses)
    assert several().completed().digest() == completed().digest()


def test_a_ticker_that_is_another_thing_alone():
    """An option whose fund only another account holds hangs on plain stock by itself: its report says so."""
    portfolio, market = samples.equity_options()
    told = {**market.underlyings, "SSO": evolve(market.underlyings["SSO"], security=None)}
    market = evolve(market, underlyings=told)
    fund = next(each.product for each in portfolio.positions if each.product.symbol == "SSO")
    option = ListedOption("SSO", "put", 90.0, samples.EXPIRY)
    planned = plan([fund, option], market, portfolio, regimes=[SILOED])
    rows = Positions([0, 1, 1], [1, 0, 1], [-5.0, 500.0, -5.0], ["alone", "both"], [1, 1])
    full = margin_many(rows, planned.revalue(), planned).completed()
    refuse_a_difference(full)
    alone, both = full.total("siloed", "customer")
    assert alone != both


# ------------------------------------------------------------------------------------------------- what is kept


def test_house_ranges_that_bind_keep_no_more_for_more_accounts():
    """A side of a class has the rule's range or the house's: four grids for each chain, whatever accounts hold."""
    portfolio, market = samples.equity_options()
    book = evolve(portfolio, accounts=[evolve(each, equity=2e4) for each in portfolio.accounts])
    tickers = {getattr(each.product, "underlying", each.product.symbol) for each in portfolio.positions}
    ranges = [{"class": ticker, "down": 0.4, "up": 0.5} for ticker in sorted(tickers)]
    house = rules("portfolio_margin").with_values(house_ranges=ranges, because="a house")
    planned = plan(portfolio.products, market, book, regimes=["portfolio_margin"], rules=[house])
    numbers = range(len(planned.products))
    ground = completing._ground(planned, planned.regimes, numbers)
    options = [n for n in numbers if isinstance(planned.products[n], ListedOption)]
    rng = np.random.default_rng(1)
    for _ in range(2):
        held = rng.choice(options, (8, 4)).tolist()
        for each in held:
            ground.answers(0, [(n, float(rng.integers(1, 20))) for n in set(each)], planned.regimes)
            ground.answers(0, [(n, -float(rng.integers(1, 20))) for n in set(each)], planned.regimes)
        kept = [key[1] for key in ground.run.inputs._made if key[0] == "class group"]
        assert 1 < max(kept.count(chain) for chain in kept) <= 4
