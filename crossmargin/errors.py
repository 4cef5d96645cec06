"""Errors of the library and the one way to collect the problems of an input.

Call `Problems.add` for everything that is wrong, then `Problems.raise_if_any`: the reader of the
message mends the whole input at once. Nothing here knows about products or rules.

    CrossMarginError
    ├── InputError            what was handed in is wrong (every problem is listed)
    ├── RuleError             a rule cannot answer
    │   ├── NotInForce        the rule or value does not exist on the date asked
    │   └── ParameterMissing  the rule has no parameter of that name
    └── NumericalError        a calculation left the range where it means anything
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import takewhile
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any

from attrs import frozen

MOST_LISTED = 10  # names in one sentence of a message
MOST_COMPARED = 1_000  # names with which one that is unknown is compared


class CrossMarginError(Exception):
    """Anything this library raises on purpose."""


@frozen
class Problem:
    """One thing wrong with an input: what it is, where it stands, what to do about it.

    Examples
    --------
    >>> print(Problem("is no tenor", "tenor 3", "Sort them."))
    tenor 3: is no tenor. Sort them.
    """

    what: str
    where: str
    fix: str = ""

    def __str__(self) -> str:
        stop = "." if self.fix and not self.what.endswith((".", "?", ":")) else ""
        return f"{self.where}: {self.what}{stop}" + (f" {self.fix}" if self.fix else "")


class InputError(CrossMarginError):
    """The input is wrong; `problems` lists everything found, not the first thing only."""

    def __init__(self, problems: Iterable[Problem], title: str = "") -> None:
        self.problems = tuple(problems)
        self.title = title or f"{counted(len(self.problems), 'problem')} in the input"
        super().__init__("\n".join([self.title + ":", *(f"  - {problem}" for problem in self.problems)]))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...], str]]:
        """Return what makes the same error in another process; the message alone would not."""
        return type(self), (self.problems, self.title)


class RuleError(CrossMarginError):
    """A rule cannot answer."""


class NotInForce(RuleError):
    """The rule or the value asked for does not exist on the date asked."""


class ParameterMissing(RuleError):
    """The rule has no parameter of that name."""


class NumericalError(CrossMarginError):
    """A calculation left the range in which its result means anything."""


class Problems:
    """Collects problems while an input is read, then raises them together.

    Examples
    --------
    >>> problems = Problems()
    >>> problems.add("quantity is NaN", where="positions.csv row 3, field 'quantity'")
    >>> len(problems)
    1
    """

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, what: str, *, where: str, fix: str = "") -> None:
        """Note one problem and go on."""
        self._found.append(Problem(what, where, fix))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Note problems that another check collected."""
        self._found.extend(problems)

    @property
    def found(self) -> tuple[Problem, ...]:
        """What was noted so far."""
        return tuple(self._found)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note the problems of an `InputError` raised inside the block and go on after it."""
        try:
            yield
        except InputError as error:
            self.extend(error.problems)

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self, title: str = "") -> None:
        """Raise `InputError` with everything noted, or return when nothing was."""
        if self._found:
            raise InputError(self._found, title)


def with_article(word: str) -> str:
    """Return a word with the article that it takes.

    Examples
    --------
    >>> with_article("treasury_note"), with_article("index_future_option")
    ('a treasury_note', 'an index_future_option')
    """
    return f"a{'n' if word[:1].lower() in {'a', 'e', 'i', 'o'} else ''} {word}"


def kind_given(value: object) -> str:
    """Return what kind of thing an argument is, for an error message: "a Market", "None"."""
    return "None" if value is None else with_article(type(value).__name__)


def check_kinds(**given: tuple[object, type | tuple[type, ...], str]) -> None:
    """Raise every argument, each with the kinds it may be of and what to do, that is of another kind.

    Examples
    --------
    >>> check_kinds(path=(None, str, "Give the path of a file."), depth=(3, int, "Give 1, 2, ..."))
    Traceback (most recent call last):
    crossmargin.errors.InputError: 1 problem in the input:
      - path: None was given. Give the path of a file.
    """
    problems = Problems()
    for name, (value, kinds, fix) in given.items():
        if not isinstance(value, kinds):
            problems.add(f"{kind_given(value)} was given.", where=name, fix=fix)
    problems.raise_if_any()


def several(where: str, given: object, kinds: Any, fix: str) -> tuple[Any, ...]:
    """Return what was given as a tuple; raise what is no list, and all that in it is of another kind.

    Examples
    --------
    >>> several("symbols", ["IBM", None], str, "Give texts.")
    Traceback (most recent call last):
    crossmargin.errors.InputError: 1 problem in the input:
      - symbols: None stands among them. Give texts.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InputError([Problem(f"{kind_given(given)} was given, not several.", where, fix)])
    found = tuple(given)
    strange = dict.fromkeys(kind_given(each) for each in found if not isinstance(each, kinds))
    if strange:
        raise InputError(Problem(f"{kind} stands among them.", where, fix) for kind in strange)
    return found


def counted(count: int, name: str) -> str:
    """Return how many there are of something: "1 row", "2,000 rows"."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def is_count(value: object, *, least: int = 1, most: float = inf) -> bool:
    """Whether something is a whole number between two bounds, be it of Python or of NumPy; a truth value is none.

    Examples
    --------
    >>> is_count(3), is_count(0), is_count(0, least=0), is_count(3.0), is_count(True)
    (True, False, True, False, False)
    """
    return not isinstance(value, bool) and isinstance(value, Integral) and least <= int(value) <= most


def is_number(value: object) -> bool:
    """Whether something is a finite number, be it of Python or of NumPy; a truth value is none.

    Examples
    --------
    >>> is_number(0.5), is_number(True), is_number(float("nan")), is_number("0.5"), is_number(10**400)
    (True, False, False, False, False)
    """
    try:
        return not isinstance(value, bool) and isinstance(value, Real) and isfinite(float(value))
    except OverflowError:  # a whole number beyond any double
        return False


def listed(names: Iterable[object], *, most: int = MOST_LISTED) -> str:
    """Return names with commas between them: the first ones and how many more there are where they are many.

    Examples
    --------
    >>> listed(["CME", "FICC"]), listed("abcdef", most=3)
    ('CME, FICC', 'a, b, c and 3 more')
    """
    named = [str(name) for name in names]
    more = f" and {len(named) - most:,} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def suggestion(name: object, choices: Iterable[str]) -> str:
    """Return "Did you mean 'x'?" for the closest choice, else the choices: of many, those that begin most like it.

    Examples
    --------
    >>> suggestion("tresury_note", ["treasury_note", "repo"]), suggestion("repo", [])
    ("Did you mean 'treasury_note'?", 'Known: none.')
    """
    known, word = sorted(set(choices)), name if isinstance(name, str) else ""
    near = _near(word, known)
    small = {each.lower(): each for each in reversed(near)}  # of two that differ in case alone, the first
    close = get_close_matches(word, near, n=1) or [small[each] for each in get_close_matches(word.lower(), small, n=1)]
    if close:
        return f"Did you mean {close[0]!r}?"
    if len(known) > MOST_LISTED:
        known.sort(key=lambda each: -_alike(each.lower(), word.lower()))
    return f"Known: {listed(known) or 'none'}."


def _near(name: str, known: list[str]) -> list[str]:
    """Return those of many names that stand about where a name would; comparing it with all would take long."""
    at = bisect(known, name)
    return known if len(known) <= MOST_COMPARED else known[max(0, at - MOST_COMPARED // 2) : at + MOST_COMPARED // 2]


def _alike(first: str, second: str) -> int:
    """Return how many letters two words begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
