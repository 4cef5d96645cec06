"""The expanded, unpacked positional format (`U2`, `.pa2`): blocks of bytes in, a `SpanFile` out.

Call `read_positional`. Risk arrays and array parameters are read many at once, everything else line by line; what the
records of a combined commodity mean is put together in `terms`. Files are opened and unpacked in `files`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
from attrs import field, frozen

from crossmargin.errors import InputError, Problem, Problems, counted
from crossmargin.io.span.columns import Columns, Findings, Lines, characters, gather, read_columns
from crossmargin.io.span.layouts import LAYOUTS
from crossmargin.io.span.records import LONGEST_LINE, parse_record, prices
from crossmargin.io.span.tables import (
    FINE_ARRAYS,
    Contracts,
    FloatArray,
    IntArray,
    ProductFamily,
    SpanFile,
    TextArray,
)
from crossmargin.io.span.terms import Parameters, Terms, put_together
from crossmargin.market import raise_capped

FORMATS = ("U2", "UP")
MOST_RECORDS = 300_000  # read line by line; a day of CME has a tenth of them

_BULK = ("81", "82", "B ")
_FINE = ("83", "84")
_WIDEST = max(layout.width for layout in LAYOUTS.values())
_AT_ONCE = 1 << 15  # lines laid side by side; what is short in the file is as wide as the rest there
_ENOUGH = 50  # problems after which the rest of the file is not read
_KEPT = ("exchange", "daily_adjustment", "combination_method", "combination_family", "combination_leg")
_SEVEN_DIGITS = 9_999_999
LARGEST_EXPONENT = 15
_FIX = "Take the file afresh."


@frozen
class _Found:
    """What was read so far: records by family with their line numbers, columns of the bulk, counts, findings."""

    singles: dict[str, list[tuple[int, Mapping[str, Any]]]] = field(factory=lambda: defaultdict(list))
    bulk: dict[str, list[Columns]] = field(factory=lambda: defaultdict(list))
    counts: Counter[str] = field(factory=Counter)
    skipped: Counter[str] = field(factory=Counter)
    findings: Findings = field(factory=Findings)

    @property
    def problems(self) -> Problems:
        return self.findings.problems


def read_positional(blocks: Iterable[bytes], name: str) -> SpanFile:
    """Return what the bytes of a positional file hold.

    Parameters
    ----------
    blocks
        The bytes, in pieces of any size.
    name
        Of the file, for messages.

    Raises
    ------
    InputError
        Listing lines that cannot be read, with number, record type, field and columns; or what the file lacks.
    """
    found = _Found()
    first = 1
    for data in _whole_lines(blocks, name):
        first += _read_block(data, first, found)
        if len(found.problems) > _ENOUGH or sum(map(len, found.singles.values())) > MOST_RECORDS:
            break
    header = _header(found, name)
    raise_capped(found.problems.found, name)
    return _file(found, header, name)


# ------------------------------------------------------------------------------------------------------ lines


def _whole_lines(blocks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Yield the bytes again, cut at the ends of lines."""
    rest = b""
    for block in blocks:
        data = rest + block
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if len(rest) > LONGEST_LINE:
            raise InputError([Problem(f"a line of more than {LONGEST_LINE} characters.", name, "Is it a SPAN file?")])
        if end:
            yield data[:end]
    if rest:
        yield rest + b"\n"


def _read_block(data: bytes, first: int, found: _Found) -> int:
    """Read the lines of a block whose first line has the number `first`; return how many there are."""
    padded = np.frombuffer(data + b" " * _WIDEST, dtype=np.uint8)
    ends = np.flatnonzero(padded == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    lengths -= (lengths > 0) & (padded[ends - 1] == ord("\r"))
    numbers = np.arange(first, first + len(ends))
    second = np.where(lengths > 1, padded[starts + 1], ord(" ")).astype(np.int64)
    codes = padded[starts].astype(np.int64) * 256 + second
    codes[(lengths == 0) | ((lengths == 1) & (padded[starts] == 26))] = -1  # blank, or the end mark of old files
    for code in np.unique(codes[codes >= 0]):
        picked = np.flatnonzero(codes == code)
        text = bytes([code // 256, code % 256]).decode("latin-1")
        lines = {"starts": starts[picked], "lengths": lengths[picked], "numbers": numbers[picked]}
        _read_lines(text, (data, padded), lines, found)
    return len(ends)


def _read_lines(code: str, data: tuple[bytes, Any], lines: dict[str, IntArray], found: _Found) -> None:
    """Read all lines of one record type in a block."""
    if code not in LAYOUTS:
        if code.strip():
            found.skipped[code.strip()] += len(lines["starts"])
        return
    found.counts[code.strip()] += len(lines["starts"])
    if code in _BULK:
        for start in range(0, len(lines["starts"]), _AT_ONCE):
            starts, lengths, numbers = (each[start : start + _AT_ONCE] for each in lines.values())
            picked = gather(code, data[1], starts, lengths=lengths, numbers=numbers)
            found.bulk[code].append(_columns(picked, found.findings))
        return
    family = LAYOUTS[code].family
    for start, length, number in zip(*(lines[name].tolist() for name in ("starts", "lengths", "numbers")), strict=True):
        with found.problems.collecting():
            text = data[0][start : start + length].decode("latin-1")
            found.singles[family].append((number, parse_record(text, number=number)))
        if len(found.problems) > _ENOUGH:
            return


def _columns(lines: Lines, findings: Findings) -> Columns:
    """Return the numbers of bulk lines, and the texts that say which contract each is about."""
    if lines.code == "B ":
        texts = {"family": characters(lines, (3, 18)), "series": characters(lines, (3, 18), (19, 35))}
        return read_columns(lines, findings) | texts | {"line": lines.numbers}
    texts = {"identity": characters(lines, (3, 54))}
    if lines.code == "81":
        texts |= {
            "family": characters(lines, (3, 15), (26, 28)),
            "series": characters(lines, (3, 15), (26, 28), (30, 46)),
            "right": characters(lines, (29, 29)),
            "day": characters(lines, (36, 37)),
            "option_day": characters(lines, (45, 46)),
        }
    else:
        texts |= {"strike_sign": characters(lines, (119, 119))}
    return read_columns(lines, findings) | texts | {"line": lines.numbers}


# ----------------------------------------------------------------------------------------------------- header


def _header(found: _Found, name: str) -> Mapping[str, Any]:
    headers = found.singles["header"]
    if not headers:
        if not found.problems:
            fix = "Give an expanded positional file (.pa2) or an XML file (.spn), plain, gzip or zip."
            found.problems.add("has no header record '0 '.", where=name, fix=fix)
        return {}
    number, header = headers[0]
    where = f"{name} line {number}, record type '0 '"
    if header["file_format"] not in FORMATS:
        fix = f"Take the expanded unpacked file: {' or '.join(FORMATS)}."
        found.problems.add(f"format {header['file_format']!r} is not read.", where=f"{where}, 'file_format'", fix=fix)
    if _date_of(header["business_date"]) is None:
        what = f"{header['business_date']!r} is no date."
        found.problems.add(what, where=f"{where}, field 'business_date'", fix=_FIX)
    if len({(each["clearing_organization"], each["business_date"]) for _, each in headers}) > 1:
        found.problems.add("there are headers of several files.", where=where, fix="Give one file at a time.")
    if sum(map(len, found.singles.values())) > MOST_RECORDS:
        found.problems.add(f"more than {MOST_RECORDS} records besides arrays.", where=name, fix="Is it a SPAN file?")
    return header


def _date_of(text: str | None) -> date | None:
    try:
        return date(int(str(text)[:4]), int(str(text)[4:6]), int(str(text)[6:8])) if text and len(text) == 8 else None
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------------- the file


def _file(found: _Found, header: Mapping[str, Any], name: str) -> SpanFile:
    first, second, parameters = (_joined(found.bulk[code], code) for code in _BULK)
    rates = _parameters(parameters, found.findings)
    terms = put_together(found.singles, rates, header["clearing_organization"] or "")
    families = dict(terms.families)
    names, places = _families(first["family"])
    for each in names:
        families.setdefault(each, ProductFamily(*each))
    raise_capped(found.problems.found, name)
    listed = list(families.values())
    index = {key: place for place, key in enumerate(families)}
    family = np.array([index[each] for each in names], dtype=np.int64)[places]
    known = _Known(listed, terms, rates, parameters["series"])
    contracts = _contracts((first, second), family, known, found.problems)
    raise_capped(found.problems.found, name)
    return SpanFile(
        name=name,
        file_format=header["file_format"],
        clearing_organization=header["clearing_organization"] or "",
        business_date=_date_of(header["business_date"]) or date.max,
        settlement=header["settlement_or_intraday"] != "I",
        families=tuple(listed),
        contracts=contracts,
        commodities=terms.commodities,
        inter_spreads=terms.inter_spreads,
        scan_spreads=terms.scan_spreads,
        currency_rates=terms.currency_rates,
        records=MappingProxyType({each: tuple(r for _, r in found.singles[each]) for each in _KEPT}),
        counts=MappingProxyType(dict(sorted(found.counts.items()))),
        skipped=MappingProxyType(dict(sorted(found.skipped.items()))),
        notes=(*terms.notes, *_notes(found, listed, contracts)),
    )


def _notes(found: _Found, families: list[ProductFamily], contracts: Contracts) -> list[str]:
    """Return what could not be used, in words."""
    notes = [
        f"{counted(number, 'line')} cut inside field {name!r}." for name, number in sorted(found.findings.cut.items())
    ]
    for column, what in ((contracts.price, "price"), (contracts.delta_scaling, "delta scaling factor")):
        if lost := int(np.isnan(column).sum()):
            notes.append(f"{counted(lost, 'contract')} without a {what} that can be read.")
    orphans = [each for each in families if not each.commodity]
    if orphans:
        notes.append(f"{len(orphans)} product families belong to no combined commodity.")
    if fine := sum(found.skipped[code] for code in _FINE):
        notes.append(f"{counted(fine, 'record')} of {FINE_ARRAYS}.")
    return notes


def _joined(columns: list[Columns], code: str) -> Columns:
    """Return the columns of all blocks in one, none at all as columns of no lines."""
    if not columns:
        none = np.zeros(0, dtype=np.int64)
        empty = gather(code, np.zeros(_WIDEST, dtype=np.uint8), none, lengths=none, numbers=none)
        columns = [_columns(empty, Findings())]
    return {name: np.concatenate([each.pop(name) for each in columns]) for name in list(columns[0])}


def _families(texts: TextArray) -> tuple[list[tuple[str, str, str]], IntArray]:
    """Return the product families named by texts of 16 characters, and the place of each text among them."""
    known: dict[tuple[str, str, str], int] = {}
    starts, which = _runs(texts)
    places = []
    for text in texts[starts].tolist():
        plain = text.decode("latin-1").ljust(16)
        key = (plain[:3].rstrip(), plain[3:13].rstrip(), plain[13:].rstrip())
        places.append(known.setdefault(key, len(known)))
    return list(known), np.array(places, dtype=np.int64)[which]


def _runs(texts: TextArray) -> tuple[IntArray, IntArray]:
    """Return where equal neighbours begin, and for each text the run that it is in."""
    if not len(texts):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    begins = np.concatenate([[True], texts[1:] != texts[:-1]])
    return np.flatnonzero(begins), np.cumsum(begins) - 1


def _parameters(columns: Columns, findings: Findings) -> Parameters:
    """Return the array parameters, scan ranges and value factors with their exponents applied."""
    scales = {}
    for name in ("contract_value_factor", "price_scan_range"):
        exponents = np.nan_to_num(columns[f"{name}_exponent"])
        for line in columns["line"][np.abs(exponents) > LARGEST_EXPONENT][:5]:
            where = f"line {line}, record type 'B ', field '{name}_exponent'"
            findings.problems.add("is out of any range.", where=where, fix=_FIX)
        scales[name] = 10.0 ** np.clip(exponents, -LARGEST_EXPONENT, LARGEST_EXPONENT)
    names, places = _families(columns["family"])
    return Parameters(
        families=tuple(names),
        family=places,
        month=np.nan_to_num(columns["futures_month"]).astype(np.int64),
        price_scan_range=columns["price_scan_range"] * scales["price_scan_range"],
        delta_scaling=columns["delta_scaling_factor"],
        value_factor=columns["contract_value_factor"] * scales["contract_value_factor"],
    )


# --------------------------------------------------------------------------------------------------- contracts


@frozen
class _Known:
    """What the contracts of a file are read with: families in order, terms, array parameters and their series."""

    families: list[ProductFamily]
    terms: Terms
    parameters: Parameters
    series: TextArray


def _contracts(arrays: tuple[Columns, Columns], family: IntArray, known: _Known, problems: Problems) -> Contracts:
    first, second = arrays
    paired = _paired(first, second, problems)
    _check_rights(first, problems)
    second = {name: column[paired] for name, column in second.items() if name != "identity"}
    scale = np.array([known.terms.scale_of(each) for each in known.families] or [1.0])
    rows = _series_rows(first["series"], known.series)
    price, strike = _quoted(first, second, family, known)
    factors = np.array([known.terms.value_factor_of(each) for each in known.families] or [np.nan])
    of_series = _picked(known.parameters.value_factor, rows)
    return Contracts(
        family=family,
        month=np.nan_to_num(first["futures_month"]).astype(np.int64),
        option_month=np.nan_to_num(first["option_month"]).astype(np.int64),
        day=_stripped(first["day"]),
        option_day=_stripped(first["option_day"]),
        right=_stripped(first["right"]),
        strike=strike,
        price=price,
        losses=np.concatenate([first["values"], second["values"]], axis=1) * scale[family][:, None],
        composite_delta=second["composite_delta"],
        delta_scaling=_picked(known.parameters.delta_scaling, rows),
        value_factor=np.where(np.isnan(of_series), factors[family], of_series),
        volatility=second["implied_volatility"],
        price_scan_range=_picked(known.parameters.price_scan_range, rows),
        line=first["line"],
    )


def _stripped(texts: TextArray) -> TextArray:
    """Return texts without blanks at their ends; there are few different ones."""
    known, place = np.unique(texts, return_inverse=True)
    plain: TextArray = np.array([text.strip() for text in known.tolist()] or [b""], dtype=texts.dtype)
    return plain[place]


def _picked(values: FloatArray, rows: IntArray) -> FloatArray:
    """Return the values of rows, NaN where the row is -1."""
    return np.concatenate([values, [np.nan]])[rows]


def _paired(first: Columns, second: Columns, problems: Problems) -> IntArray:
    """Return for each `81` its `82`; of equal identities, as of strikes unlike in sign, the first go together."""
    mine, other = first["identity"], second["identity"]
    if len(mine) == len(other):
        if (mine == other).all():
            return np.arange(len(mine))
        order, others = np.argsort(mine, kind="stable"), np.argsort(other, kind="stable")
        if (mine[order] == other[others]).all():
            paired = np.empty_like(order)
            paired[order] = others
            return paired
    sides = Counter(mine.tolist()), Counter(other.tolist())
    for columns, code, lacking, left in (
        (first, "81", "82", sides[0] - sides[1]),
        (second, "82", "81", sides[1] - sides[0]),
    ):
        for identity in list(left)[:_ENOUGH]:
            line = columns["line"][columns["identity"] == identity][-1]
            text = " ".join(identity.decode("latin-1").split())
            problems.add(f"{text} has no record {lacking!r}.", where=f"line {line}, record type {code!r}", fix=_FIX)
    problems.raise_if_any("The file cannot be read")
    raise AssertionError


def _check_rights(first: Columns, problems: Problems) -> None:
    wrong = ~np.isin(first["right"], [b"C", b"P", b" "])
    for place in np.flatnonzero(wrong)[:_ENOUGH]:
        where = f"line {first['line'][place]}, record type '81', field 'right' (columns 29-29)"
        problems.add(f"{first['right'][place].decode('latin-1')!r} is neither C nor P.", where=where, fix=_FIX)


def _series_rows(series: TextArray, of_parameters: TextArray) -> IntArray:
    """Return for each contract the row of its array parameters, -1 for none."""
    known = {text: row for row, text in enumerate(of_parameters.tolist())}
    starts, which = _runs(series)
    return np.array([known.get(text, -1) for text in series[starts].tolist()], dtype=np.int64)[which]


def _quoted(first: Columns, second: Columns, family: IntArray, known: _Known) -> tuple[FloatArray, FloatArray]:
    """Return settlement prices and strikes as they are quoted, family by family."""
    raw, precise = second["settlement_raw"], first["high_precision_settlement_raw"]
    wide = np.isnan(raw) | (precise > _SEVEN_DIGITS)  # what seven digits cannot hold
    raw = np.where(wide, np.copysign(precise, raw), raw)
    sign = np.where(second["strike_sign"] == b"-", -1.0, 1.0)
    strikes = np.copysign(first["strike_raw"], sign)
    price, strike = np.full(len(raw), np.nan), np.full(len(raw), np.nan)
    order = np.argsort(family, kind="stable")
    edges = np.flatnonzero(np.diff(family[order])) + 1
    for rows in np.split(order, edges) if len(order) else ():
        each = known.families[family[rows[0]]]
        quotes = known.terms.quotes_of(each)
        if quotes is None:
            continue
        price[rows] = prices(raw[rows], quotes["settlement_decimals"], quotes["settlement_alignment"])
        if each.is_option:
            strike[rows] = prices(strikes[rows], quotes["strike_decimals"], quotes["strike_alignment"])
    return price, strike
