"""The XML format of SPAN risk-parameter files (`.spn`, file format 4.00): blocks of bytes in, a `SpanFile` out.

Call `read_xml`. The file is read as it streams by: contracts and definitions that have ended become records, and their
elements are dropped. Document types and entities are refused; depth, length of texts and what is held are bounded.
What the definitions mean is in `xml_terms`; files are opened and unpacked in `files`.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from math import isfinite
from types import MappingProxyType
from typing import cast
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np
from attrs import define, evolve, field, frozen

from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.io.span.tables import OPTION_TYPES, Contracts, ProductFamily, SpanFile
from crossmargin.io.span.xml_terms import Definitions, number_of, read_definition, text_of
from crossmargin.market import raise_capped

DEEPEST = 64
CHUNK = 1 << 16  # bytes between two harvests; no text is as long
LONGEST_RECORD = 1 << 22  # bytes from which nothing could be taken
MOST_COMMENTS = 1000
MOST_NAMES = 1000
SCENARIOS = 16

_FAMILIES = frozenset({"futPf", "phyPf", "oofPf", "oopPf", "oocPf", "ooePf", "cmbPf", "fwdPf", "debtPf", "equityPf"})
_CONTRACTS = frozenset({"fut", "phy", "opt", "cmb", "fwd", "debt", "equity"})
_CONTAINERS = frozenset(
    {"spanFile", "pointInTime", "clearingOrg", "exchange", "interSpreads", "superSpreads", "series"} | _FAMILIES
)
_VALUES = frozenset(
    {"fileFormat", "date", "isSetl", "ec", "exch", "pfId", "pfCode", "name", "currency", "valueMeth", "cvf", "pe", "v"}
    | {"sc", "undC", "scanRate"}
)  # what records need of the containers they stand in
_SKIPPED = frozenset(
    {"businessFunction", "portfolio", "definitions", "hvarMarginParams", "cdsMarginParams", "zeroCurve", "eDebtPf"}
    | {"interClearSpreads", "superInterClearSpreads", "IRSwapPf", "CDSwapPf", "specs"}
)
_QUIET = frozenset({"undPf", "alias", "group", "tick", "venue", "intrRate"})  # of no use to margins, and everywhere
_ENOUGH = 50
_HANDLERS = (
    "StartDoctypeDeclHandler",
    "EntityDeclHandler",
    "StartCdataSectionHandler",
    "ProcessingInstructionHandler",
    "CommentHandler",
    "StartElementHandler",
    "EndElementHandler",
    "CharacterDataHandler",
)


@define
class _Rows:
    """Contracts read so far, in flat arrays: four whole numbers, seven others and sixteen losses to each."""

    whole: array[int] = field(factory=lambda: array("q"))
    other: array[float] = field(factory=lambda: array("d"))
    losses: array[float] = field(factory=lambda: array("d"))
    days: list[tuple[str, str]] = field(factory=list)
    families: dict[tuple[str, str, str], int] = field(factory=dict)
    listed: list[ProductFamily] = field(factory=list)
    months: dict[tuple[str, str, str], tuple[int, str]] = field(factory=dict)  # by exchange, family and contract


@define
class _State:
    """What is being read: the tree of what is still open, rows, definitions, values, counts, problems."""

    name: str
    parser: expat.XMLParserType = field(factory=expat.ParserCreate)
    tree: TreeBuilder = field(factory=TreeBuilder)
    root: Element | None = None
    untaken: int = 0  # bytes since something was last taken from the tree
    comments: int = 0
    values: dict[str, str] = field(factory=dict)
    rows: _Rows = field(factory=_Rows)
    definitions: Definitions = field(factory=Definitions)
    counts: Counter[str] = field(factory=Counter)
    skipped: Counter[str] = field(factory=Counter)
    above: _Above | None = None
    problems: Problems = field(factory=Problems)

    def refuse(self, what: str) -> InputError:
        """Return the error about something at this place, or shortly before."""
        where = f"{self.name} up to line {self.parser.CurrentLineNumber}"
        return InputError([Problem(what, where, "Is it a SPAN file of format 4.00?")])

    def skip(self, what: str) -> None:
        """Count what is passed over, under its name as long as there are not too many names."""
        known = what in self.skipped or len(self.skipped) < MOST_NAMES
        self.skipped[what if known else "others"] += 1


def read_xml(blocks: Iterable[bytes], name: str) -> SpanFile:
    """Return what the bytes of an XML file hold.

    Parameters
    ----------
    blocks
        The bytes, in pieces of any size.
    name
        Of the file, for messages.

    Raises
    ------
    InputError
        Naming element and field of what cannot be read and the line up to which it stands, or the bound that the file
        breaks.
    """
    state = _State(name)
    _listen(state)
    try:
        _feed(state, blocks)
    except (expat.ExpatError, LookupError, UnicodeError) as error:
        raise state.refuse(f"is no well-formed XML, or is cut short: {error}.") from error
    finally:
        for handler in _HANDLERS:
            setattr(state.parser, handler, None)  # they hold the state, and the state holds the parser
    raise_capped(state.problems.found, name)
    return _file(state)


# -------------------------------------------------------------------------------------------------- streaming


def _listen(state: _State) -> None:
    """Let the parser build a tree without a call of Python for each element, and refuse what SPAN files never have."""
    parser = state.parser
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise state.refuse("has a document type, entities, raw text or instructions, which SPAN files do not.")

    def comment(_: str) -> None:
        state.comments += 1
        if state.comments > MOST_COMMENTS:
            raise state.refuse(f"more than {MOST_COMMENTS} comments.")

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if tag != "spanFile":
            raise state.refuse(f"the outermost element is {tag!r}, not 'spanFile'.")
        state.root = state.tree.start(tag, attributes)
        parser.StartElementHandler = state.tree.start

    for handler in _HANDLERS[:4]:
        setattr(parser, handler, refuse)
    parser.CommentHandler = comment
    parser.StartElementHandler = begin
    parser.EndElementHandler = state.tree.end
    parser.CharacterDataHandler = state.tree.data


def _feed(state: _State, blocks: Iterable[bytes]) -> None:
    """Parse the bytes in chunks, and take from the tree after each what has ended."""
    fed = 0
    for block in blocks:
        for start in range(0, len(block), CHUNK):
            chunk = block[start : start + CHUNK]
            if len(chunk) == CHUNK and b"<" not in chunk:
                raise state.refuse(f"{CHUNK} characters in which no element begins or ends.")
            state.parser.Parse(chunk)
            fed += len(chunk)
            state.untaken += len(chunk)
            if state.root is not None:
                _harvest(state, [state.root], ended=False)
            if max(state.untaken, fed - state.parser.CurrentByteIndex) > LONGEST_RECORD:
                raise state.refuse(f"an element of more than {LONGEST_RECORD} bytes.")
            if len(state.problems) > _ENOUGH:
                raise_capped(state.problems.found, state.name)
    last = True
    state.parser.Parse(b"", last)
    if state.root is not None:
        _harvest(state, [state.root], ended=True)


def _harvest(state: _State, path: list[Element], *, ended: bool) -> None:
    """Make records of what has ended in a container, the last on `path`, and drop it; its last child may be open."""
    container = path[-1]
    if len(path) > DEEPEST:
        raise state.refuse(f"elements are nested more than {DEEPEST} deep.")
    children = list(container)
    still_open = None if ended or not children else children.pop()
    kept = [child for child in children if not _taken(state, path, child)]
    if len(kept) < len(children):
        state.untaken = 0
        container[:] = kept if still_open is None else [*kept, still_open]
    if still_open is None:
        return
    if still_open.tag in _SKIPPED or _is_second(state, still_open):
        _prune(state, still_open)
    elif still_open.tag in _CONTAINERS:
        _harvest(state, [*path, still_open], ended=False)


def _taken(state: _State, path: list[Element], child: Element) -> bool:
    """Make a record of an element that has ended; False for a plain value that its container goes on to need."""
    tag, parent = child.tag, path[-1]
    if tag in _VALUES:
        first = parent.find(tag) is child
        if first and parent.tag in {"spanFile", "pointInTime", "clearingOrg"}:
            state.values.setdefault(tag, (child.text or "").strip())
        return not first
    if tag in _SKIPPED or _is_second(state, child):
        state.skip(tag)
    elif tag in _CONTAINERS:
        _harvest(state, [*path, child], ended=True)
        state.counts[tag] += 1
        if tag in _FAMILIES:
            _family(state, child, text_of(parent, "exch"))
    elif tag in _CONTRACTS:
        state.counts[tag] += 1
        with state.problems.collecting():
            _contract(state, path, child)
    elif len(child) and read_definition(state.definitions, child, parent.tag):
        state.counts[tag] += 1
    elif len(child) and tag not in _QUIET:
        state.skip(tag)
    return True


def _is_second(state: _State, element: Element) -> bool:
    """Whether it is of a further clearing organisation: a file is read as one."""
    return element.tag == "clearingOrg" and state.counts["clearingOrg"] > 0


def _prune(state: _State, element: Element) -> None:
    """Drop what has ended in an element that is passed over."""
    depth = 0
    while len(element):
        if len(element) > 1:
            del element[:-1]
            state.untaken = 0
        element = element[-1]
        depth += 1
        if depth > DEEPEST:
            raise state.refuse(f"elements are nested more than {DEEPEST} deep.")


# --------------------------------------------------------------------------------------------------- contracts


def _family(state: _State, element: Element, exchange: str) -> int:
    """Return the place of a product family, made when it is new."""
    key = (exchange, text_of(element, "pfCode"), element.tag.removesuffix("Pf").upper())
    rows = state.rows
    if key not in rows.families:
        rows.families[key] = len(rows.listed)
        futures_style = text_of(element, "valueMeth").startswith("FUT")
        name, currency = text_of(element, "name"), text_of(element, "currency")
        rows.listed.append(ProductFamily(*key, name=name, currency=currency, premium_style=not futures_style))
        state.definitions.family_ids[exchange, text_of(element, "pfId")] = key
    return rows.families[key]


@frozen
class _Above:
    """What contracts take from the series and family they stand in: whose they are, months, factors."""

    container: Element
    place: int
    family: tuple[str, str]
    month: int
    day: str
    option_month: int
    option_day: str
    factors: tuple[float, ...]


def _above(state: _State, path: list[Element]) -> _Above:
    """Return what the container of a contract says, read once for all contracts in it."""
    if state.above is not None and state.above.container is path[-1]:
        return state.above
    series = path[-1] if path[-1].tag == "series" else None
    outer = path if series is None else path[:-1]
    if len(outer) < 2 or outer[-1].tag not in _FAMILIES:
        raise state.refuse("a contract that belongs to no product family.")
    family, exchange = outer[-1], text_of(outer[-2], "exch")
    option_month, option_day = _period(state, text_of(path[-1], "pe"))
    month, day = (0, "") if series is None else state.rows.months.get(_underlying(series), (0, ""))
    values = [_factors(state, each, {child.tag: child.text or "" for child in each}) for each in reversed(path[-2:])]
    factors = values[0] if series is None else _filled(values[0], values[1])
    named = (exchange, text_of(family, "pfId"))
    place = _family(state, family, exchange)
    state.above = _Above(path[-1], place, named, month, day, option_month, option_day, factors)
    return state.above


def _contract(state: _State, path: list[Element], element: Element) -> None:
    """Add a contract to the rows."""
    above = _above(state, path)
    values = {child.tag: child.text or "" for child in element}
    month, day = above.month, above.day
    if path[-1].tag != "series":
        month, day = _period(state, values.get("pe", "").strip())
    losses, delta = _risk_array(state, element)
    if not losses:
        state.skip(f"{element.tag} without an array")
        return
    rows = state.rows
    if element.tag == "fut":
        rows.months[*above.family, values.get("cId", "").strip()] = (month, day)
    strike, price = (_number(state, element.tag, name, values) for name in ("k", "p"))
    rows.other.extend((strike, price, delta, *_filled(_factors(state, element, values), above.factors)))
    rows.whole.extend((above.place, month, above.option_month, ord(values.get("o", "").strip()[:1] or " ")))
    rows.days.append((day, above.option_day))
    rows.losses.extend(losses)


def _underlying(series: Element) -> tuple[str, str, str]:
    """Return exchange, family and contract that the options of a series are on."""
    contract = series.find("undC")
    if contract is None:
        return "", "", ""
    return text_of(contract, "exch"), text_of(contract, "pfId"), text_of(contract, "cId")


def _factors(state: _State, element: Element, values: Mapping[str, str]) -> tuple[float, ...]:
    """Return delta scaling, value factor, volatility and scan range of an element, NaN for what it does not say."""
    scan_rate = element.find("scanRate") if "scanRate" in values else None
    scan_range = {} if scan_rate is None else {"priceScan": text_of(scan_rate, "priceScan")}
    plain = (_number(state, element.tag, name, values) for name in ("sc", "cvf", "v"))
    return *plain, _number(state, element.tag, "priceScan", scan_range)


def _filled(own: tuple[float, ...], others: tuple[float, ...]) -> tuple[float, ...]:
    """Return factors of one's own, and those of another where there are none."""
    return tuple(value if isfinite(value) else other for value, other in zip(own, others, strict=True))


def _number(state: _State, tag: str, name: str, values: Mapping[str, str]) -> float:
    """Return a number of an element, NaN when it has none."""
    text = values.get(name, "").strip()
    if not text:
        return float(np.nan)
    value = number_of(text)
    if value is None:
        raise state.refuse(f"element {tag!r}, field {name!r}: {text!r} is no number.")
    return value


def _period(state: _State, text: str) -> tuple[int, str]:
    """Return month and day of a period such as 20260630, 202606 or 202606W2."""
    if not text:
        return 0, ""
    if not (text.isascii() and text[:6].isdigit() and 6 <= len(text) <= 9):
        raise state.refuse(f"element 'pe': {text!r} is no period.")
    day = text[6:]
    return int(text[:6]), "" if day == "00" else day


def _risk_array(state: _State, element: Element) -> tuple[list[float], float]:
    """Return the losses of the rate that is read and the composite delta; no losses when there is no array."""
    arrays = element.findall("ra")
    if not arrays:
        return [], np.nan
    wanted = state.definitions.rate_id
    chosen = arrays[0]
    if len(arrays) > 1:
        chosen = next((each for each in arrays if text_of(each, "r") == wanted), chosen)
    texts = [each.text or "" for each in chosen if each.tag == "a"]
    if len(texts) != SCENARIOS:
        raise state.refuse(f"element {element.tag!r}: an array of {counted(len(texts), 'value')}, not {SCENARIOS}.")
    losses = [number_of(text) for text in texts]
    if None in losses:
        place = losses.index(None)
        what = f"element {element.tag!r}, field 'a' {place + 1}: {texts[place]!r} is no number."
        raise state.refuse(what)
    return cast("list[float]", losses), _number(state, element.tag, "d", {"d": text_of(chosen, "d")})


# ---------------------------------------------------------------------------------------------------- the file


def _file(state: _State) -> SpanFile:
    rows, terms = state.rows, state.definitions
    day = _date_of(state.values.get("date", ""))
    if day is None:
        what = f"{state.values.get('date', '')!r} is no business date."
        raise InputError([Problem(what, f"{state.name}, element 'date'", "Take the file afresh.")])
    families = tuple(
        evolve(each, commodity=terms.commodity_of(key)) for key, each in zip(rows.families, rows.listed, strict=True)
    )
    contracts = _columns(rows, families, terms)
    node = state.values.get("ec", "")
    commodities, gaps = terms.commodities(families, contracts, node)
    inter, scanning, notes = terms.between()
    return SpanFile(
        name=state.name,
        file_format=f"XML {state.values.get('fileFormat', '')}".strip(),
        clearing_organization=node,
        business_date=day,
        settlement=state.values.get("isSetl", "1") in {"1", "true"},
        families=families,
        contracts=contracts,
        commodities=commodities,
        inter_spreads=inter,
        scan_spreads=scanning,
        currency_rates=terms.currency_rates,
        counts=MappingProxyType(dict(sorted(state.counts.items()))),
        skipped=MappingProxyType(dict(sorted(state.skipped.items()))),
        notes=(*gaps, *notes),
    )


def _date_of(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _columns(rows: _Rows, families: tuple[ProductFamily, ...], terms: Definitions) -> Contracts:
    whole = np.array(rows.whole, dtype=np.int64).reshape(-1, 4)
    other = np.array(rows.other, dtype=np.float64).reshape(-1, 7)
    family = whole[:, 0].copy()
    option = np.array([each.product_type in OPTION_TYPES for each in families] or [False])[family]
    scale = np.array([terms.scale_of(each.commodity) for each in families] or [1.0])
    linked = np.array([terms.scaling_of((f.exchange, f.product, f.product_type)) for f in families] or [np.nan])
    scaling = np.where(np.isnan(other[:, 3]), linked[family], other[:, 3])
    days = np.array(rows.days, dtype="S3").reshape(-1, 2)
    letters = np.array([b"C" if code == ord("C") else b"P" if code == ord("P") else b"" for code in whole[:, 3]], "S1")
    return Contracts(
        family=family,
        month=whole[:, 1].copy(),
        option_month=whole[:, 2].copy(),
        day=days[:, 0].copy(),
        option_day=days[:, 1].copy(),
        right=letters,
        strike=np.where(option, other[:, 0], np.nan),
        price=other[:, 1].copy(),
        losses=np.array(rows.losses, dtype=np.float64).reshape(-1, SCENARIOS) * scale[family][:, None],
        composite_delta=other[:, 2].copy(),
        delta_scaling=scaling,
        value_factor=other[:, 4].copy(),
        volatility=other[:, 5].copy(),
        price_scan_range=other[:, 6].copy(),
        line=np.zeros(len(whole), dtype=np.int64),
    )
