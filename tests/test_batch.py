"""The batch: each account as the spine has it, whatever the order of rows, the number of threads or the split."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import samples
from crossmargin.batch import Positions, margin_many, plan, stored
from crossmargin.errors import InputError
from crossmargin.guardrails import GUARDRAILS
from crossmargin.margin import compare
from crossmargin.pnl import PnL
from crossmargin.portfolio import Position
from crossmargin.products.treasuries import TREASURY_SECURITIES
from crossmargin.regimes import CROSS_MARGIN, HARMONIZED, REGIMES, SILOED, regime, with_rulesets
from crossmargin.registry import rules
from crossmargin.results import LEVELS
from tests.engine_doubles import Inline, Mapping

CENT = 0.005
N_ACCOUNTS, N_ROWS = 12, 120
GUARDED = tuple(regime(name) for name in ("harmonized_with_guardrails", "full_harmonized", "one_pot_futures_account"))


@cache
def made(account="MER-XM", regimes=(SILOED, CROSS_MARGIN, HARMONIZED), **values):
    """A plan for accounts like one of the sample's, and its P&L."""
    portfolio, market = samples.basis_trade()
    alike = evolve(portfolio, accounts=[each for each in portfolio.accounts if each.id == account], positions=[])
    tried = [rules(rule).with_values(because="test", **dict(told)) for rule, told in values.items()]
    planned = plan(portfolio.products, market, alike, regimes=regimes, settles=samples.SETTLES, rules=tried)
    return planned, planned.revalue()


@cache
def every_kind():
    """A plan with every account of the sample as a template, and its P&L."""
    portfolio, market = samples.basis_trade()
    planned = plan(portfolio.products, market, portfolio, settles=samples.SETTLES)
    return planned, planned.revalue()


def rows(seed=0, n_products=None):
    rng = np.random.default_rng(seed)
    n_products = n_products or len(made()[0].products)
    sizes = rng.integers(-60, 61, N_ROWS) * 1e3
    return Positions(rng.integers(0, N_ACCOUNTS, N_ROWS), rng.integers(0, n_products, N_ROWS), sizes)


@cache
def batch(account="MER-XM"):
    planned, pnl = made(account)
    return margin_many(rows(), pnl, planned)


def refuse_a_difference(many, regimes):
    """Compare every account with the spine: the total where nothing is left out, else at most as much."""
    for place, account in enumerate(many.accounts.tolist()):
        found = compare(many.portfolio_of(account), many.plan.market, regimes, rules=many.plan.rules)
        for report in found.reports:
            for level in LEVELS:
                ours, theirs = many.total(report.regime, level)[place], report.total(level) or 0.0  # `gaps` tell
                credit = many.credit(report.regime, level)[place]
                if many.whole(report.regime, level)[place]:
                    assert ours == pytest.approx(theirs, abs=CENT)
                    assert credit == pytest.approx(report.credit(level), abs=CENT)
                else:
                    assert ours <= theirs + CENT


def unsettled(portfolio):
    """The portfolio without cash that has settled: a batch's trades all settle on one day."""
    held = [each for each in portfolio.positions if each.settles or not isinstance(each.product, TREASURY_SECURITIES)]
    return evolve(portfolio, positions=held)


# ------------------------------------------------------------------------------------------- the same as the spine

lots = st.tuples(st.integers(0, 22), st.sampled_from([-1.0, -0.4, 0.2, 1.0, 3.0]))


def scaled_to_sample(planned, book):
    """Rows of one account: multiples of what the sample book holds, so that legs offset one another."""
    portfolio, _ = samples.basis_trade()
    usual = {position.product: abs(position.quantity) for position in portfolio.positions}
    product = [number % len(planned.products) for number, _ in book]
    sizes = [round(usual[planned.products[n]] * share) for n, (_, share) in zip(product, book, strict=True)]
    return product, sizes


@pytest.mark.parametrize("account", ["NG-XM", "MER-XM", "MER-GOV"])
@given(st.lists(lots, max_size=12))
@settings(max_examples=4, deadline=None)
def test_any_book_is_what_the_spine_asks_to_the_cent(account, book):
    planned, pnl = made(account)
    product, sizes = scaled_to_sample(planned, book)
    refuse_a_difference(margin_many(Positions([7] * len(book), product, sizes), pnl, planned), planned.regimes)


@given(st.lists(lots, min_size=1, max_size=12))
@settings(max_examples=4, deadline=None)
def test_guardrails_are_those_of_the_spine(book):
    planned, pnl = made("MER-XM", GUARDED)
    product, sizes = scaled_to_sample(planned, book)
    refuse_a_difference(margin_many(Positions([7] * len(book), product, sizes), pnl, planned), planned.regimes)


SIZED = (
    with_rulesets(CROSS_MARGIN, {"cme_rates_futures": "cme_span2_like"}),
    with_rulesets(CROSS_MARGIN, {"cme_rates_futures": "ice_irm2_like"}),
    GUARDED[0],
)


@given(st.lists(lots, min_size=1, max_size=12), st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=4, deadline=None)
def test_charges_by_size_are_those_of_the_spine(book, times):
    on = [name for name in GUARDRAILS if name != "correlation_break"]
    planned, pnl = made("MER-XM", SIZED, harmonized_with_guardrails=_Told((("guardrails", on),)))
    product, sizes = scaled_to_sample(planned, book)
    many = margin_many(Positions([7] * len(book), product, np.round(np.array(sizes) * times)), pnl, planned)
    assert not any("charge" in told or "add_on" in told for told in many.not_modelled)
    refuse_a_difference(many, planned.regimes)


def test_the_sample_book_under_every_regime():
    portfolio, market = samples.basis_trade()
    portfolio = unsettled(portfolio)
    planned = plan(portfolio.products, market, portfolio, settles=samples.SETTLES, regimes=REGIMES)
    many = margin_many(Positions.from_portfolio(portfolio, planned), planned.revalue(), planned)
    refuse_a_difference(many, REGIMES)
    assert many.credit("cross_margin")[many.place("MER-XM")] < 0.0
    assert many.whole("cross_margin").sum() >= 5


@pytest.mark.parametrize("name", ["swap_book", "group"])
def test_other_sample_books(name):
    portfolio, market = getattr(samples, name)()
    planned = plan(portfolio.products, market, portfolio, settles=samples.SETTLES)
    many = margin_many(Positions.from_portfolio(unsettled(portfolio), planned), planned.revalue(), planned)
    refuse_a_difference(many, planned.regimes)


@pytest.mark.parametrize(
    "told",
    [
        {"cme_ficc": (("reduction_cap", 0.1),)},
        {"cme_ficc": (("reduction_minimum", 0.75),)},
        {"cme_ficc": (("late_sides", ("CME",)),)},
        {"cme_ficc": (("missing_side_policy", "use_last_factor"),)},
        {"ficc_gsd": (("floor_share", 1.0),)},
        {"harmonized_rates": (("reduction_cap", 0.05),)},
        {"house_overlay": (("terms", ({"multiplier": 1.5, "add_on": 1e5}, {"minimum": 5e6, "speculators": True})),)},
        {"house_overlay": (("terms", ({"multiplier": 9.0, "firm": "EASTWAY"}, {"minimum": 1e3})),)},
    ],
    ids=lambda told: "-".join([*told, next(iter(told.values()))[0][0], str(len(repr(told)))]),
)
def test_overlaid_values_are_followed(told):
    planned, pnl = made("MER-XM", **{rule: _Told(values) for rule, values in told.items()})
    many = margin_many(sample_rows(), pnl, planned)
    refuse_a_difference(many, planned.regimes)
    assert many.whole("siloed", "customer").all()


class _Told(tuple):
    __slots__ = ()

    def __hash__(self):
        return hash(repr(self))


def sample_rows():
    """The rows of the sample's customer in one account, and the same upside down in another."""
    planned, _ = made()
    portfolio, _ = samples.basis_trade()
    mine = [position for position in portfolio.positions if position.account == "MER-XM"]
    product = [planned.products.index(position.product) for position in mine]
    sizes = [position.quantity for position in mine]
    return Positions([0] * len(mine) + [1] * len(mine), product * 2, [*sizes, *(-size for size in sizes)])


def test_a_house_charge_that_is_told_is_left_out_by_name():
    planned, pnl = made("MER-XM", ficc_gsd=_Told((("set_charges", ({"charge": "special_charge", "amount": 5e5},)),)))
    many = margin_many(sample_rows(), pnl, planned)
    refuse_a_difference(many, planned.regimes)
    assert not many.whole("siloed").any()
    assert any("special_charge (2 accounts)" in told for told in many.not_modelled)


# ------------------------------------------------------------------------------------------------------- one result


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=6, deadline=None)
def test_neither_order_nor_threads_nor_splits_change_a_bit(random, threads):
    planned, pnl = made()
    plain, order = rows(), random.sample(range(N_ROWS), N_ROWS)
    mixed = Positions(plain.account[order], plain.product[order], plain.quantity[order])
    split = Positions(
        *(np.tile(column, 2) for column in (plain.account, plain.product)), np.tile(plain.quantity / 2, 2)
    )
    for other in (mixed, split):
        many = margin_many(other, pnl, planned, threads=threads)
        assert (many.values == batch().values).all()
        assert many.digest() == batch().digest()


def test_one_account_at_a_time_gives_the_same_bits():
    planned, pnl = made()
    every = rows()
    for place, account in enumerate(batch().accounts.tolist()):
        mine = every.account == account
        alone = margin_many(Positions(every.account[mine], every.product[mine], every.quantity[mine]), pnl, planned)
        assert (alone.values[0] == batch().values[place]).all()
        for each in planned.regimes:
            assert alone.unmodelled(each)[0] == batch().unmodelled(each)[place]


def test_templates_side_by_side_are_those_alone():
    planned, pnl = every_kind()
    kinds = len(planned.kinds)
    assert kinds == 7
    plain = rows()
    template = np.arange(N_ACCOUNTS) % kinds
    mixed = margin_many(evolve(plain, labels=np.arange(N_ACCOUNTS), template=template), pnl, planned)
    for place in range(N_ACCOUNTS):
        name = planned.kinds[template[place]].account.id
        alone, its_pnl = made(name)
        mine = plain.account == place
        only = margin_many(Positions(plain.account[mine], plain.product[mine], plain.quantity[mine]), its_pnl, alone)
        for drawn in planned.regimes:
            for level in LEVELS:
                ours, expected = mixed.total(drawn.name, level)[place], only.total(drawn.name, level)[0]
                assert ours == pytest.approx(expected, abs=1e-6)
                assert mixed.whole(drawn.name, level)[place] == only.whole(drawn.name, level)[0]
        assert mixed.portfolio_of(place).accounts[0].id == name


def test_stored_pnl_serves_many_batches():
    planned, pnl = made()
    store = stored(pnl, planned)
    assert margin_many(rows(), store, planned).digest() == batch().digest()
    single = stored(pnl, planned, precision="single")
    assert single.values.dtype == np.float32
    assert (margin_many(rows(), single, planned).error_bound > 0.0).all()


@pytest.mark.parametrize("precision", ["exact", "single"])
def test_a_stream_gives_the_bits_of_stored_pnl(precision):
    regimes = (CROSS_MARGIN, GUARDED[0])
    planned, pnl = made("MER-XM", regimes)
    kept = margin_many(rows(), pnl, planned, precision=precision)
    streamed = margin_many(rows(), planned.stream(), planned, precision=precision, threads=2)
    assert streamed.digest() == kept.digest()
    assert (streamed.error_bound == kept.error_bound).all()
    with pytest.raises(InputError, match="of another plan"):
        margin_many(rows(), made()[0].stream(), planned)
    told, engine = [], Inline()
    engine._max_workers = 3
    for each in (engine, Mapping()):
        again = margin_many(
            rows(),
            planned.stream(),
            planned,
            precision=precision,
            engine=each,
            progress=lambda *about: told.append(about),
        )
        assert again.digest() == kept.digest()
        assert (again.error_bound == kept.error_bound).all()
    assert engine.submitted == 3, "each worker makes P&L once"
    assert told[3][:2] == (3, 3)


def test_single_precision_keeps_its_promise():
    planned, pnl = made()
    single = margin_many(rows(), pnl, planned, precision="single")
    assert (np.abs(single.tails - batch().tails) <= single.error_bound[:, None]).all()
    assert (batch().error_bound == 0.0).all()


def test_accounts_by_name_and_by_number():
    planned, pnl = made()
    plain = rows()
    names = np.array([f"a{n:02d}" for n in range(N_ACCOUNTS)])
    by_name = margin_many(Positions(names[plain.account], plain.product, plain.quantity), pnl, planned)
    by_number = margin_many(Positions(plain.account, plain.product, plain.quantity, names), pnl, planned)
    assert by_name.digest() == by_number.digest() != batch().digest()
    assert (by_name.values == batch().values).all()


def test_the_digest_knows_plan_data_and_templates():
    planned, pnl = made()
    spec = planned.specs[0]
    moved = {**pnl, spec: _with_values(pnl[spec], pnl[spec].values * 1.0001)}
    assert margin_many(rows(), moved, planned).digest() != batch().digest()
    other, its_pnl = made("MER-XM", harmonized_rates=_Told((("floor_share", 0.21),)))
    assert other.digest() != planned.digest()
    assert (
        plan(planned.products, planned.market, planned.portfolio, settles=samples.SETTLES).digest() == planned.digest()
    )
    assert margin_many(rows(), its_pnl, other).digest() != batch().digest()


def _with_values(known, values):
    return PnL(known.products, values, known.base, known.basis, known.scenarios)


# ------------------------------------------------------------------------------------------ what is left out, and how


def test_what_is_left_out_is_counted():
    many = batch("MER-FUT")
    holding = [
        account
        for account in many.accounts.tolist()
        if any(position.product.kind == "listed_option" for position in many.portfolio_of(account).positions)
    ]
    assert many.unmodelled(SILOED).sum() > many.unmodelled(HARMONIZED).sum() > 0
    assert all(gap.accounts > 0 for gap in many.gaps)
    assert {gap.accounts for gap in many.gaps if "no rule-set" in gap.what} >= {len(holding)}


def test_rules_without_a_formula_are_left_out_by_name():
    portfolio, market = samples.basis_trade()
    alike = evolve(portfolio, accounts=portfolio.accounts[:1], positions=[])
    tried = with_rulesets(CROSS_MARGIN, {"cme_rates_futures": "span"})
    planned = plan(portfolio.products, market, alike, regimes=[tried], settles=samples.SETTLES)
    assert any("all of span" in left_out for left_out in planned.not_modelled)
    assert any("credit of cme_ficc" in left_out for left_out in planned.not_modelled)
    many = margin_many(rows(), planned.revalue(), planned)
    assert not many.whole(tried.name).any()


def test_accounts_that_elect_a_rule_set_have_its_name_in_the_gap():
    portfolio, market = samples.equity_options()
    planned = plan(portfolio.products, market, portfolio, regimes=[SILOED])
    many = margin_many(Positions.from_portfolio(portfolio, planned), planned.revalue(), planned)
    assert [gap.accounts for gap in many.gaps if "all of portfolio_margin" in gap.what] == [1]
    assert [gap.accounts for gap in many.gaps if "all of finra_strategy" in gap.what] == [1]
    assert not many.whole("siloed", "customer").any()


def test_no_rows():
    planned, pnl = made()
    many = margin_many(Positions([], [], []), pnl, planned)
    assert many.values.shape == (0, len(planned.figures))
    assert many.total("siloed").shape == (0,)
    assert (many.gaps, many.not_modelled) == ((), ())
    empty = margin_many(Positions([], [], [], labels=["x"]), pnl, planned)
    assert (empty.total("siloed").tolist(), empty.report_of("x").total()) == ([0.0], 0.0)


def test_no_products():
    planned = plan([], made()[0].market, made()[0].portfolio)
    assert margin_many(Positions([], [], []), planned.revalue(), planned).total("harmonized").shape == (0,)


def test_a_portfolio_as_rows():
    portfolio, _ = samples.basis_trade()
    planned, _ = every_kind()
    portfolio = unsettled(portfolio)
    found = Positions.from_portfolio(portfolio, planned)
    assert found.labels.tolist() == sorted({position.account for position in portfolio.positions})
    assert found.quantity.sum() == pytest.approx(sum(position.quantity for position in portfolio.positions))
    strange = Position("x", "NG-XM", samples.TreasuryBill(samples.SETTLES.replace(year=2027)), 1e6, samples.SETTLES)
    late = evolve(portfolio.positions[0], id="late", settles=None)
    with pytest.raises(InputError) as wrong:
        Positions.from_portfolio(evolve(portfolio, positions=[*portfolio.positions, strange, late]), planned)
    assert len(wrong.value.problems) == 2
    only = plan(planned.products, planned.market, evolve(planned.portfolio, accounts=planned.portfolio.accounts[:2]))
    with pytest.raises(InputError, match="like no template"):
        Positions.from_portfolio(portfolio, only)


def test_everything_wrong_is_said_at_once():
    planned, pnl = made()
    bad = Positions([0, 5], [0, 999], [np.nan, 1.0], labels=["a"], template=[0, 3])
    with pytest.raises(InputError) as found:
        margin_many(bad, {}, planned, precision="exakt")
    assert len(found.value.problems) >= 6
    with pytest.raises(InputError, match="columns of"):
        margin_many(Positions([0], [0, 1], [1.0]), pnl, planned)
    with pytest.raises(InputError, match="are called by"):
        margin_many(Positions([0.5, np.nan], [0, 0], [1.0, 1.0]), pnl, planned)
    with pytest.raises(InputError, match="columns of"):
        margin_many(Positions([[0]], [[0]], [[1.0]]), pnl, planned)
    with pytest.raises(InputError, match="not whole numbers"):
        margin_many(Positions([0], [0.5], [1.0]), pnl, planned)
    with pytest.raises(InputError, match="a label stands twice"):
        margin_many(Positions([0], [0], [1.0], labels=["a", "a"]), pnl, planned)
    with pytest.raises(InputError, match="of another plan"):
        margin_many(rows(), evolve(stored(pnl, planned), segments=(1,)), planned)
    with pytest.raises(InputError, match="no regime"):
        batch().total("siled")
    with pytest.raises(InputError, match="unknown level"):
        batch().total("siloed", "clearin")
    with pytest.raises(InputError, match="no account"):
        batch().report_of("nobody")
    with pytest.raises(InputError) as twice:
        plan([*planned.products[:1] * 2], planned.market, evolve(planned.portfolio, accounts=[]), regimes=[SILOED] * 2)
    assert len(twice.value.problems) == 3
    with pytest.raises(InputError, match="is no product") as strange:
        plan(["ZN"], planned.market, planned.portfolio, regimes=[])
    assert len(strange.value.problems) == 2
    gone = samples.TreasuryBill(samples.SETTLES.replace(month=1))
    with pytest.raises(InputError, match="position '1'"):
        plan([planned.products[0], gone], planned.market, planned.portfolio, regimes=["siloed"])


@pytest.mark.parametrize("threads", [0, -3, 1.5, None, "2"])
def test_what_is_no_number_of_threads_is_refused(threads):
    planned, pnl = made()
    with pytest.raises(InputError, match="no number of threads"):
        margin_many(rows(), pnl, planned, threads=threads)


@pytest.mark.parametrize("far", [2.0**53 * 1.01, -1e300, np.inf, -np.inf, np.nan])
def test_what_nobody_holds_is_refused(far):
    planned, pnl = made()
    most = margin_many(Positions(["a", "a"], [0, 0], [2.0**53, 2.0**53]), pnl, planned)
    assert np.isfinite(most.total("siloed")).all()
    with pytest.raises(InputError, match=r"beyond 2\^53, in row 1"):
        margin_many(Positions(["a", "a"], [0, 0], [1.0, far]), pnl, planned)


def test_arguments_in_each_other_s_place_are_named():
    planned, pnl = made()
    with pytest.raises(InputError) as swapped:
        margin_many([("a", 0, 1e6)], planned, pnl)
    assert [each.where for each in swapped.value.problems] == ["positions", "pnl", "plan"]


def test_a_regime_is_known_by_itself_and_by_its_name():
    many = batch()
    assert (many.total(CROSS_MARGIN) == many.total("cross_margin")).all()
    assert many.whole(SILOED).all() == many.whole("siloed").all()
    with pytest.raises(InputError, match="no regime 'strategy_margin'"):
        many.gross(regime("strategy_margin"))


def test_a_batch_and_its_plan_show_themselves_in_a_line():
    assert repr(batch()) == f"<Batch: {N_ACCOUNTS} accounts, 21 products; siloed, cross_margin, harmonized>"
    assert repr(batch().plan) == "<Plan: 21 products, 1 template, 2026-06-30; siloed, cross_margin, harmonized>"


def test_pnl_that_does_not_fit_is_refused():
    planned, pnl = made()
    spec = planned.specs[0]
    known = pnl[spec]
    fewer = PnL(known.products[1:], known.values[1:], known.base[1:], known.basis[1:], known.scenarios)
    with pytest.raises(InputError, match="products have none"):
        margin_many(rows(), {**pnl, spec: fewer}, planned)
    broken = known.values.copy()
    broken[3, 5] = np.nan
    with pytest.raises(InputError, match="not finite in every scenario"):
        stored({**pnl, spec: _with_values(known, broken)}, planned)


def test_pnl_of_another_market_is_refused():
    planned, pnl = made()
    _, market = samples.basis_trade()
    moved = evolve(market, curve=evolve(market.curve, par=market.curve.par + 0.02))
    other = plan(planned.products, moved, planned.portfolio, settles=samples.SETTLES)
    same = plan(planned.products, evolve(market), planned.portfolio, settles=samples.SETTLES)
    for source in (pnl, stored(pnl, planned), planned.stream()):
        with pytest.raises(InputError, match="another market") as told:
            margin_many(rows(), source, other)
        assert len(told.value.problems) == 1
        assert margin_many(rows(), source, same).digest() == margin_many(rows(), pnl, planned).digest()


def test_pnl_of_the_same_products_in_another_order_is_refused():
    planned, pnl = made()
    turned = plan(planned.products[::-1], planned.market, planned.portfolio, settles=samples.SETTLES)
    with pytest.raises(InputError, match="another order"):
        margin_many(rows(), stored(pnl, planned), turned)
    mine, given = (margin_many(rows(), each, turned) for each in (turned.revalue(), pnl))
    assert mine.digest() == given.digest()


def test_what_was_stored_exact_is_not_single():
    planned, pnl = made()
    with pytest.raises(InputError, match="stored exact"):
        margin_many(rows(), stored(pnl, planned), planned, precision="single")


def test_accounts_of_several_templates_say_which():
    planned, pnl = every_kind()
    with pytest.raises(InputError, match="left out, though the plan has 7"):
        margin_many(rows(), pnl, planned)
