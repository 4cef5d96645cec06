"""XML SPAN files: they say what positional ones say; what is refused, and bounds that keep a hostile file harmless."""

import io
import time
import tracemalloc
from datetime import date

import numpy as np
import pytest

from crossmargin.errors import InputError
from crossmargin.io.span import files
from crossmargin.io.span import xml as reader
from crossmargin.io.span.files import read_span
from crossmargin.io.span.portfolio import span_portfolio
from crossmargin.io.span.records import format_record
from crossmargin.io.span.tables import ContractKey, find_contract
from crossmargin.span.portfolio import Tier
from crossmargin.span.requirement import span_requirement
from tests.io.span.sample import JUNE, MARCH, RECORDS, XML

CALL_KEY = ContractKey("CME", "ES", "OOF", MARCH, option_month=202602, right="call", strike=6000.0)


def refused(data, **named):
    with pytest.raises(InputError) as caught:
        read_span(io.BytesIO(data), **named)
    return str(caught.value)


@pytest.fixture(scope="module")
def sample():
    return read_span(io.BytesIO("\n".join(format_record(*each) for each in RECORDS).encode()))


@pytest.fixture(scope="module")
def xml():
    return read_span(io.BytesIO(XML.encode()))


def test_the_xml_file_says_the_same_as_the_positional_one(xml, sample):
    assert xml.file_format == "XML 4.00"
    assert (xml.business_date, xml.clearing_organization, xml.settlement) == (date(2026, 1, 5), "CME", True)
    mine, other = xml.commodities["SP"], sample.commodities["SP"]
    same = ("series_spreads", "short_option_rate", "short_option_method", "initial_ratios", "currency", "value_node")
    assert all(getattr(mine, name) == getattr(other, name) for name in same)
    row, twin = find_contract(xml, CALL_KEY), find_contract(sample, CALL_KEY)
    for name in (
        "losses",
        "composite_delta",
        "price",
        "strike",
        "delta_scaling",
        "value_factor",
        "month",
        "volatility",
    ):
        assert np.array_equal(getattr(xml.contracts, name)[row], getattr(sample.contracts, name)[twin]), name
    assert xml.inter_spreads[0].credit_rate_pct == 60.0
    assert xml.currency_rates == sample.currency_rates
    assert xml.skipped == {"definitions": 1, "pointDef": 1}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("<a>-2000</a>", "<a>x</a>", "element 'fut', field 'a' 3: 'x' is no number"),
        ("<a>-2000</a>", "<a>NaN</a>", "field 'a' 3: 'NaN' is no number"),
        ("<a>-2000</a>", "<a>1_0</a>", "is no number"),
        ("<a>-2000</a>", "", "an array of 15 values, not 16"),
        ("<p>40.0</p>", "<p>forty</p>", "element 'opt', field 'p': 'forty' is no number"),
        ("<pe>202602</pe>", "<pe>Feb26</pe>", "element 'pe': 'Feb26' is no period"),
        ("<pe>202602</pe>", "<pe>202602é</pe>", "is no period"),
        ("<date>2026-01-05</date>", "<date>today</date>", "'today' is no business date"),
        ("<spanFile>", "<posFile>", "the outermost element is 'posFile'"),
        ("</ccDef>", "", "is no well-formed XML, or is cut short"),
        ("<spanFile>", "<!DOCTYPE spanFile [<!ENTITY a 'aa'>]><spanFile>", "has a document type"),
        ("<spanFile>", '<!DOCTYPE spanFile SYSTEM "a.dtd"><spanFile>', "has a document type"),
        ("<ec>CME</ec>", "<ec>&unknown;</ec>", "is no well-formed XML"),
        ("<exchange><exch>CME</exch>", "<exchange><fut><cId>1</cId></fut>", "belongs to no product family"),
        ('<?xml version="1.0"?>', '<?xml version="1.0" encoding="nonsense"?>', "is no well-formed XML"),
    ],
)
def test_xml_that_is_refused(old, new, told):
    assert old in XML
    message = refused(XML.replace(old, new, 1).encode())
    assert told in message
    assert "line " in message or "'date'" in message


@pytest.mark.parametrize("chunk", [1, 3, 50, 1 << 16])
def test_chunks_of_any_size_read_the_same(chunk, monkeypatch, xml):
    monkeypatch.setattr(reader, "CHUNK", chunk)
    if chunk < 50:  # every chunk would be text alone
        monkeypatch.setattr(files, "BLOCK", chunk)
        monkeypatch.setattr(reader, "CHUNK", 1 << 16)
    file = read_span(io.BytesIO(XML.replace("><", ">\n<").encode()))
    assert np.array_equal(file.contracts.losses, xml.contracts.losses)
    assert np.array_equal(file.contracts.delta_scaling, xml.contracts.delta_scaling)
    assert (file.families, file.commodities, file.inter_spreads) == (xml.families, xml.commodities, xml.inter_spreads)
    assert (file.counts, file.skipped) == (xml.counts, xml.skipped)


def test_xml_bounds(monkeypatch):
    assert "in which no element begins or ends" in refused(b"<spanFile>" + b"x" * 200_000)
    assert "more than 1000 comments" in refused(b"<spanFile>" + b"<!-- -->x" * 2000)
    assert "which SPAN files do not" in refused(b"<spanFile><![CDATA[" + b"<" * 2000)
    assert "which SPAN files do not" in refused(b"<spanFile><?do this?>")
    monkeypatch.setattr(reader, "CHUNK", 1000)
    for outer in (b"", b"<definitions>", b"<exchange>" * 100):
        told = refused(b"<spanFile>" + outer + b"<exchange>" * 3000)
        assert "nested more than 64 deep" in told
    monkeypatch.setattr(reader, "LONGEST_RECORD", 10_000)
    told = "an element of more than 10000 bytes"
    assert told in refused(b"<spanFile><exchange><fut>" + b"<a/>" * 6000)
    assert told in refused(b"<spanFile>" + b"<a>" * 6000)
    assert told in refused(b"<spanFile><a>" + b"<b/>" * 6000)
    assert told in refused(b"<spanFile><!--" + b"<b/>" * 6000)
    assert "cut short" in refused(b"<spanFile><definitions>" + b"<b/>" * 6000)
    assert "cut short" in refused(b"<spanFile><exchange>" + b"<b/>" * 6000 + b"<exch>X</exch>" * 6000)


def test_a_second_clearing_organisation_is_passed_over(xml):
    first = XML.index("<clearingOrg>"), XML.index("</clearingOrg>") + len("</clearingOrg>")
    again = XML[: first[1]] + XML[first[0] :]
    file = read_span(io.BytesIO(again.encode()))
    assert file.skipped["clearingOrg"] == 1
    assert len(file.contracts) == len(xml.contracts)


def test_names_that_nobody_knows_are_counted_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(reader, "MOST_NAMES", 5)
    odd = "".join(f"<odd{number}><x/></odd{number}>" for number in range(20))
    file = read_span(io.BytesIO(XML.replace("<exchange>", odd + "<exchange>").encode()))
    assert len(file.skipped) == 6
    assert sum(file.skipped.values()) == 22


def test_a_laughing_file_neither_hangs_nor_fills_the_memory():
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    laugh = f'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY l0 "lol">{entities}]><spanFile>&l9;</spanFile>'
    start = time.thread_time()
    tracemalloc.start()
    assert "has a document type" in refused(laugh.encode("utf-16"))
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert time.thread_time() - start < 2


def test_a_long_xml_file_holds_no_more_than_its_contracts():
    option = XML[XML.index("<opt>") : XML.index("</opt>") + 6]
    many = "".join(option.replace("6000", str(strike), 1) for strike in range(3000))
    file = read_span(io.BytesIO(XML.replace(option, many).encode()))
    assert len(file.contracts) == 3003
    assert file.counts["opt"] == 3001
    assert sorted(file.contracts.strike[file.contracts.right == b"C"].tolist()) == list(range(3000))


@pytest.mark.parametrize(
    ("old", "new", "gap"),
    [
        ("<wfprMeth>NORMAL", "<wfprMeth>ODD", "weighted price risk method ODD"),
        ("<wfprMeth>NORMAL", "<wfprMeth>SCANRANGE", "weighted price risk method SCANRANGE"),
        ("<chargeMeth>F", "<chargeMeth>Q", "calendar spread 1: a field is blank"),
        ("<pLeg>", "<rpLeg><cc>SP</cc></rpLeg><pLeg>", "a kind that is not modelled"),
        ("<acctType>S", "<acctType>X", "adjustment 1.1 of rate 2"),
        (
            "<tn>1</tn><rate>",
            "<tn>2</tn><rate><r>1</r><val>9</val></rate></tier><tier><tn>1</tn><rate>",
            "by tiers that",
        ),
    ],
)
def test_what_xml_asks_and_cannot_be_computed_is_a_gap(old, new, gap):
    assert old in XML
    file = read_span(io.BytesIO(XML.replace(old, new).encode()))
    assert any(gap in each for each in file.commodities["SP"].gaps)


def test_credit_rates_of_xml_that_are_fractions():
    file = read_span(io.BytesIO(XML.replace("<val>60</val>", "<val>0.6</val>").encode()))
    assert file.inter_spreads[0].credit_rate_pct == 60.0
    assert any("read as fractions" in note for note in file.notes)


@pytest.mark.parametrize(("credit", "charge", "read"), [("0.6", "0.25", (60.0, 25.0)), ("60", "0.25", (60.0, 0.25))])
def test_calendar_charges_by_price_risk_are_read_as_the_credits_are(credit, charge, read):
    text = XML.replace("<val>60</val>", f"<val>{credit}</val>").replace("<chargeMeth>F", "<chargeMeth>W")
    file = read_span(io.BytesIO(text.replace("<val>150</val>", f"<val>{charge}</val>").encode()))
    (spread,) = file.commodities["SP"].series_spreads
    assert (file.inter_spreads[0].credit_rate_pct, spread.charge) == read
    assert spread.method == "price_risk"
    held = {ContractKey("CME", "ES", "FUT", MARCH): 3, ContractKey("CME", "ES", "FUT", JUNE): -1}
    (found,) = span_requirement(span_portfolio(file, held)).commodities
    assert found.weighted_futures_price_risk == pytest.approx(2 * 6000 / 0.4)  # two futures of a fifth of a delta each
    assert found.charges.intra_commodity_charge.value == pytest.approx(0.2 * 2 * 30_000 * read[1] / 100)


def test_combinations_of_xml_keep_their_own_month_and_say_so():
    cmb = f"<cmb><cId>31</cId><pe>{MARCH}</pe><p>5</p>{'<ra><r>1</r>' + '<a>9</a>' * 16 + '<d>1</d></ra>'}</cmb>"
    family = "<cmbPf><pfId>3</pfId><pfCode>EC</pfCode><currency>USD</currency><cvf>50</cvf>" + cmb + "</cmbPf>"
    link = "<pfLink><exch>CME</exch><pfId>3</pfId><pfCode>EC</pfCode><pfType>CMB</pfType><sc>0.2</sc></pfLink>"
    text = XML.replace("</oofPf>", "</oofPf>" + family, 1).replace("<adjRate>", link + "<adjRate>", 1)
    portfolio = span_portfolio(read_span(io.BytesIO(text.encode())), {ContractKey("CME", "EC", "CMB", MARCH): 1})
    assert any("the file lists no legs of it" in gap for gap in portfolio.commodities[0].gaps)


def test_of_several_arrays_the_one_of_the_maintenance_rate_is_read(xml):
    other = "<ra><r>2</r>" + "<a>7</a>" * 16 + "<d>0.1</d></ra>"
    file = read_span(io.BytesIO(XML.replace("<ra><r>1</r>", other + "<ra><r>1</r>").encode()))
    assert np.array_equal(file.contracts.losses, xml.contracts.losses)
    assert np.array_equal(file.contracts.composite_delta, xml.contracts.composite_delta)


def test_contracts_without_arrays_and_series_without_underlyings():
    bare = "<fut><cId>13</cId><pe>202609</pe><p>1</p></fut></futPf>"
    text = XML.replace("</futPf>", bare, 1).replace(XML[XML.index("<undC>") : XML.index("</undC>") + 7], "")
    file = read_span(io.BytesIO(text.encode()))
    assert file.skipped["fut without an array"] == 1
    assert file.counts["fut"] == 3
    assert file.contracts.month.tolist() == [MARCH, JUNE, 0, 0]


def test_short_option_rates_of_scanning_tiers():
    tier = "<tier><tn>{0}</tn><sPe>20260{0}</sPe><ePe>20260{0}</ePe></tier>"
    scan = f"<scanTiers>{tier.format(3)}{tier.format(6)}</scanTiers>"
    rate = "<tier><tn>{}</tn><rate><r>1</r><val>{}</val></rate></tier>"
    rates = f"{scan}<somTiers>{rate.format(3, 40)}{rate.format(6, 60)}</somTiers>"
    old = XML[XML.index("<somTiers>") : XML.index("</somTiers>") + len("</somTiers>")]
    commodity = read_span(io.BytesIO(XML.replace(old, rates).encode())).commodities["SP"]
    assert commodity.scan_tiers == (Tier(3, MARCH, MARCH, 40.0), Tier(6, JUNE, JUNE, 60.0))
    assert commodity.short_option_rate == 0.0


def test_spreads_on_tiers_of_their_own():
    tier = "<tier><tn>{0}</tn><sPe>20260{0}</sPe><ePe>20260{0}</ePe></tier>"
    tiers = f"<interTiers>{tier.format(3)}{tier.format(6)}</interTiers>"
    text = XML.replace("<somTiers>", tiers + "<somTiers>", 1).replace("<cc>SP</cc><tn>1</tn>", "<cc>SP</cc><tn>6</tn>")
    file = read_span(io.BytesIO(text.encode()))
    assert file.commodities["SP"].inter_tiers == (Tier(3, MARCH, MARCH), Tier(6, JUNE, JUNE))
    assert not file.commodities["SP"].scan_tiers
    assert [(leg.on, leg.tier) for leg in file.inter_spreads[0].legs] == [("SP", 6), ("ND", None)]


def test_further_definitions_of_xml():
    tiers = "".join(
        f"<{name}><tier><tn>1</tn><sPe>{MARCH}</sPe><ePe>{JUNE}</ePe></tier></{name}>"
        for name in ("intraTiers", "scanTiers")
    )
    super_spread = (
        "<superSpreads><sSpread><spread>2</spread><numLegsReq>2</numLegsReq><rate><r>1</r><val>98</val></rate>"
        "<sLeg><cc>TG</cc><isTarget>1</isTarget></sLeg><sLeg><cc>SP</cc><isTarget>0</isTarget><isRequired>1</isRequired>"
        "<i>1</i></sLeg><sLeg><cc>ND</cc><isTarget>0</isTarget><isRequired>0</isRequired><i>2</i></sLeg></sSpread>"
        "</superSpreads><interSpreads>"
    )
    tier_spread = (
        "<dSpread><spread>3</spread><chargeMeth>P</chargeMeth><rate><r>1</r><val>7</val></rate>"
        "<tLeg><cc>SP</cc><tn>1</tn><rs>A</rs><i>1</i></tLeg><tLeg><cc>SP</cc><tn>{}</tn><rs>B</rs><i>1</i></tLeg></dSpread>"
    )
    text = XML.replace("<somTiers>", tiers + "<somTiers>").replace("<interSpreads>", super_spread)
    text = text.replace("</ccDef>", tier_spread.format(1) + tier_spread.format(9) + "</ccDef>")
    file = read_span(io.BytesIO(text.encode()))
    (spread,) = file.scan_spreads
    assert (spread.target, [(leg.on, leg.required) for leg in spread.legs]) == ("TG", [("SP", True), ("ND", False)])
    commodity = file.commodities["SP"]
    assert commodity.tiers == commodity.scan_tiers == (Tier(1, MARCH, JUNE),)
    assert [(each.charge, each.method) for each in commodity.tier_spreads] == [(7.0, "per_month")]
    assert "calendar spread 3 names a tier that the file does not define" in commodity.gaps
