"""Positions of a book that are known by sensitivities: the CRIF files beside it, each read once.

`CrifFiles(folder).portfolio(entry)` gives the product of a position, `write_portfolio` is the way back. What a CRIF
holds is told in `crif`.
"""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, field, frozen

from crossmargin.errors import InputError, Problem, counted
from crossmargin.io import book_fields as fields
from crossmargin.io.crif import Crif, crif_of, read_crif, write_crif
from crossmargin.io.entries import Entry, read_fields
from crossmargin.products import SensitivityPortfolio

_KIND = SensitivityPortfolio.kind


@frozen
class CrifFiles:
    """The CRIF files of a book, their paths told from its folder; None for a file that is wrong."""

    folder: Path
    _read: dict[str, Crif | None] = field(factory=dict, init=False, repr=False)

    def portfolio(self, entry: Entry) -> SensitivityPortfolio | None:
        """Return the portfolio that an entry describes, None after noting what is wrong with it or with its file."""
        arguments = read_fields(entry, fields.PRODUCT_FIELDS[_KIND])
        if arguments is None:
            return None
        path, named = arguments["crif"], arguments.get("name")
        crif = self._crif(entry, path)
        if crif is None:
            return None
        chosen = named if any(crif.portfolios) else None  # a file without portfolios is one, whatever it is called
        try:
            return SensitivityPortfolio(
                named or next(filter(None, crif.portfolios), Path(path).name.partition(".")[0]),
                crif.sensitivities(chosen),
                add_ons=crif.add_ons(chosen),
                counterparty=arguments.get("counterparty", ""),
                schedule_rows=crif.schedule_rows(chosen),
            )
        except InputError as error:
            entry.note_all(error.problems, lambda _: "portfolio")
            return None

    def _crif(self, entry: Entry, path: str) -> Crif | None:
        """Return the CRIF of a path; what is wrong with it is noted where it is first named."""
        if path not in self._read:
            try:
                self._read[path] = read_crif(self.folder / path)
            except InputError as error:
                self._read[path] = None
                place = f"{entry.label}, field 'crif'"
                entry.problems.extend(evolve(each, where=f"{place}, {each.where}") for each in error.problems)
        return self._read[path]


def write_portfolio(portfolio: SensitivityPortfolio, path: Path) -> None:
    """Write a portfolio as a CRIF.

    Raises
    ------
    InputError
        The portfolio has rows for the schedule: it does not hold them.
    """
    if portfolio.schedule_rows:
        rows = counted(portfolio.schedule_rows, "row")
        what = f"has {rows} for the schedule, which a portfolio counts and does not keep."
        fix = "Write the book yourself, with the CRIF file that it came from."
        raise InputError([Problem(what, portfolio.symbol, fix)])
    write_crif(crif_of(portfolio.sensitivities, portfolio=portfolio.name, add_ons=portfolio.add_ons), path)
