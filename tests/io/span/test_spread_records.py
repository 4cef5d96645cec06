"""What spread records and records of tiers say together: legs over several records, and what the tiers are for."""

import io

import pytest

from crossmargin.io.span.files import read_span
from crossmargin.io.span.records import format_record
from crossmargin.span.portfolio import Tier
from tests.io.span.sample import JUNE, MARCH, RECORDS


def read(records):
    lines = [format_record(*each) for each in records]
    return read_span(io.BytesIO("".join(f"{line}\n" for line in lines).encode("latin-1")))


def tiered(**more):
    """The sample with other tiers for scanning and spreading of the ten-year note."""
    place = [code for code, _ in RECORDS].index("S ") + 3
    assert RECORDS[place][1]["combined_commodity"] == "21"
    return [*RECORDS[:place], ("S ", RECORDS[place][1] | more), *RECORDS[place + 1 :]]


def on_tiers(records, **tiers):
    """Those records with the first spread between commodities on tiers."""
    place = [code for code, _ in records].index("6 ")
    return [*records[:place], ("6 ", records[place][1] | {"method": "20", "leg_tiers": tiers}), *records[place + 1 :]]


HALVES = [{"tier": 1, "start_month": MARCH, "end_month": MARCH}, {"tier": 2, "start_month": JUNE, "end_month": JUNE}]
SCANNED, SPREAD = (Tier(1, MARCH, MARCH), Tier(2, JUNE, JUNE)), (Tier(1, MARCH, JUNE),)


@pytest.mark.parametrize(
    ("method", "scanned", "spread"),
    [("01", (), ()), (None, (), ()), ("10", SCANNED, ()), ("20", (), SCANNED), ("21", SCANNED, SCANNED)],
)
def test_the_method_says_what_tiers_are_for(method, scanned, spread):
    file = read(on_tiers(tiered(inter_method=method, tier_count=2, tiers=HALVES), leg_1=2, leg_2=1))
    found = file.commodities["21"]
    assert (found.scan_tiers, found.inter_tiers, found.gaps) == (scanned, spread, ())
    first, second = file.inter_spreads[0].legs
    assert (first.tier, second.tier) == (2 if spread else None, None)  # no tiers: the leg is on the whole commodity


def test_scanning_and_spreads_may_have_tiers_of_their_own():
    records = tiered(inter_method="22", tier_count=2, tiers=HALVES)
    whole = [{"tier": 1, "start_month": MARCH, "end_month": JUNE}]

    def with_another(**more):
        usual = {"combined_commodity": "21", "tier_count": 1, "tiers": whole, "weighted_price_risk_method": 1}
        return read([*records, ("S ", usual | more)]).commodities["21"]

    both = with_another(inter_method="23")
    assert (both.scan_tiers, both.inter_tiers, both.gaps) == (SCANNED, SPREAD, ())
    rated = with_another(inter_method="30", short_option_minimum_rates=[70])
    assert rated.scan_tiers == SCANNED
    assert len(rated.gaps) == 1
    alike = with_another(inter_method="30", tiers=HALVES, short_option_minimum_rates=[70, 80])
    assert [tier.short_option_rate for tier in alike.scan_tiers] == [70.0, 80.0]
    assert not alike.gaps
    others = [each | {"start_month": MARCH} for each in HALVES]
    unlike = with_another(inter_method="30", tiers=others, short_option_minimum_rates=[70, 80])
    assert unlike.gaps == ("short option rates by tiers that are no scanning tiers",)
    each_month = read(tiered(inter_method="02")).commodities["21"]
    assert each_month.gaps == ("inter-commodity spread method 02",)


def test_a_leg_on_a_tier_that_is_not_defined_is_told():
    file = read(on_tiers(tiered(inter_method="20", tier_count=2, tiers=HALVES), leg_1=9))
    assert not file.inter_spreads
    assert any("names tier 9" in note for note in file.notes)


def test_a_calendar_spread_of_many_legs_goes_on_in_the_next_record():
    place = [code for code, _ in RECORDS].index("E ")
    code, spread = RECORDS[place]
    months = (MARCH, JUNE, 202609, 202612, 202703, 202706)
    legs = [{"month": month, "ratio": 1.0, "side": "AB"[turn % 2]} for turn, month in enumerate(months)]
    whole = [(code, spread | {"legs": legs[:4]}), (code, spread | {"legs": legs[4:]})]
    other = (code, spread | {"priority": 2, "legs": legs[:4]})
    alone = (code, spread | {"priority": 2, "charge": 80, "legs": legs[2:4]})
    read_as = read([*RECORDS[:place], *whole, other, alone, *RECORDS[place + 1 :]]).commodities["SP"]
    assert not read_as.gaps
    six, joined = read_as.series_spreads
    assert (six.priority, six.charge, [leg.on for leg in six.legs]) == (1, 150.0, list(months))
    assert (joined.priority, len(joined.legs)) == (2, 6)  # what follows a full record under its priority is its rest
    short = [(code, spread | {"legs": legs[:2]}), (code, spread | {"legs": legs[2:4]})]
    found = read([*RECORDS[:place], *short, *RECORDS[place + 1 :]]).commodities["SP"].series_spreads
    assert [len(each.legs) for each in found] == [2, 2]  # neither record is full: two spreads


def test_a_spread_between_many_commodities_goes_on_in_the_next_record():
    place = [code for code, _ in RECORDS].index("6 ")
    code, spread = RECORDS[place]
    legs = [spread["legs"][0] | {"combined_commodity": name} for name in ("SP", "21", "26", "XX", "YY")]
    first, second = (code, spread | {"legs": legs[:4]}), (code, spread | {"legs": legs[4:]})
    (whole,) = read([*RECORDS[:place], first, second]).inter_spreads
    assert [leg.on for leg in whole.legs] == ["SP", "21", "26", "XX", "YY"]
    of_others = (code, spread | {"group": "CME", "legs": legs[:2]})
    assert [len(each.legs) for each in read([*RECORDS[:place], first, of_others]).inter_spreads] == [4, 2]
