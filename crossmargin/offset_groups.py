"""What class groups ask, alone and together: the largest loss, offsets between groups, the minimum of each contract.

`class_charge` is what one class asks by itself, `offset_charge` what classes or groups of them ask together: a share of
the gains of some offsets losses of others at the same point of the grid. Both answer in lines that explain themselves.
Who is in a group and which share counts are a rule's parameters; the profit and loss comes from `class_groups`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import field, frozen

from crossmargin.class_groups import ClassGroup
from crossmargin.errors import Problems
from crossmargin.parameters import Read
from crossmargin.records import as_tuple
from crossmargin.results import Line, known_sum, largest, scaled, total


@frozen
class GroupCharge:
    """What a class or a group of classes asks.

    Parameters
    ----------
    name : str
    line : Line
        The requirement, USD, at least 0, explained.
    losses : iterable of Line [n_points]
        At each point of the grid, USD; negative where gains prevail.
    minimum : Line
        The least requirement, USD.
    gross : float or None
        What the classes in it ask one by one, USD; None where nothing of them is modelled.
    """

    name: str
    line: Line
    losses: tuple[Line, ...] = field(converter=as_tuple)
    minimum: Line
    gross: float | None


def class_charge(group: ClassGroup, minimum_per_unit: float, *, reads: Iterable[Read] = ()) -> GroupCharge:
    """Return what one class asks by itself: its largest loss, but not less than an amount for each option contract.

    A class of which nothing could be revalued asks visibly nothing, not 0.

    Parameters
    ----------
    group : ClassGroup
    minimum_per_unit : float
        USD for each unit that an option contract stands for, long or short.
    reads : iterable of Read
        The parameters behind it.

    Examples
    --------
    >>> charge = class_charge(ClassGroup("XYZ", "equity", [-500.0, 400.0], 200.0), 0.375)
    >>> charge.line.value, charge.minimum.value
    (500.0, 75.0)
    """
    losses = _losses(group)
    units = Line("contracts times multiplier", group.contract_units, unit="unit")
    minimum, worst = scaled("minimum", minimum_per_unit, units), _largest_loss(losses)
    known = [worst, minimum] if group.parts or group.contract_units or any(group.pnl) or not group.gaps else []
    note = _note(worst, minimum) if known else ""
    line = largest(f"class {group.name}", [*known, *group.gaps], note=note, reads=tuple(reads))
    return GroupCharge(group.name, line, losses, minimum, line.amount)


def offset_charge(
    name: str, members: Sequence[GroupCharge], share: float, *, reads: Iterable[Read] = ()
) -> GroupCharge:
    """Return what classes, or groups of them, ask together: gains of some offset losses of others at the same point.

    Parameters
    ----------
    name : str
    members : sequence of GroupCharge
        At least one; one alone is returned as it is.
    share : float
        Of every member's gain that counts, in (0, 1]. Those that do not offset belong in no group: they add up.

    Raises
    ------
    InputError
        No member, grids of unlike length, or another share.

    Notes
    -----
    The line is the members' requirements (gross) plus a credit, never positive. Its minimum is the sum of theirs.

    Examples
    --------
    >>> one, other = ClassGroup("A", "broad_index", [-500.0, 0.0]), ClassGroup("B", "broad_index", [400.0, -300.0])
    >>> both = offset_charge("A and B", [class_charge(each, 0.0) for each in (one, other)], 0.9)
    >>> both.line.value, both.gross, both.line.part("credit").value
    (300.0, 800.0, -500.0)
    """
    _check_offset(name, members, share)
    if len(members) == 1:
        return members[0]
    losses = tuple(_point(number, members, share) for number in range(len(members[0].losses)))
    minimum = total("minimum", [Line(member.name, member.minimum.value) for member in members])
    worst = _largest_loss(losses)
    net = largest("net", [worst, minimum], note=_note(worst, minimum))
    gross = total("gross", [member.line for member in members])
    known = [] if gross.amount is None else [Line("gross", gross.amount)]
    credit = [total("credit", [net, scaled("less gross", -1.0, whole)]) for whole in known]
    line = total(name, [gross, *credit], note=net.note if known else "", reads=tuple(reads))
    return GroupCharge(name, line, losses, minimum, known_sum(member.gross for member in members))


def _losses(group: ClassGroup) -> tuple[Line, ...]:
    """Return the loss at each point, the worst of them product by product."""
    names = [f"at {move:+.2%}" for move in group.moves] or [f"point {n}" for n in range(1, len(group.pnl) + 1)]
    lines = [Line(name, 0.0 - pnl) for name, pnl in zip(names, group.pnl, strict=True)]
    if group.parts:
        worst = min(range(len(lines)), key=lambda point: group.pnl[point])
        lines[worst] = total(names[worst], [Line(symbol, 0.0 - pnl[worst]) for symbol, pnl in group.parts])
    return tuple(lines)


def _point(number: int, members: Sequence[GroupCharge], share: float) -> Line:
    losses = [(member.name, member.losses[number]) for member in members]
    names = {loss.name for _, loss in losses}
    name = names.pop() if len(names) == 1 else f"point {number + 1}"
    alone = [(of, Line("alone", loss.value)) for of, loss in losses]
    return total(name, [scaled(of, 1.0 if loss.value > 0 else share, loss) for of, loss in alone])


def _largest_loss(losses: Iterable[Line]) -> Line:
    return largest("largest loss", [*losses, Line("no loss", 0.0)])


def _note(worst: Line, minimum: Line) -> str:
    if minimum.value > worst.value:
        return "the minimum binds"
    return next((f"worst {loss.name}" for loss in worst.parts if loss.value == worst.value > 0), "")


def _check_offset(name: str, members: Sequence[GroupCharge], share: float) -> None:
    problems = Problems()
    if not members:
        problems.add("has no member.", where=name, fix="Leave the group out.")
    if not 0.0 < share <= 1.0:
        problems.add(f"the share of gains is {share}.", where=name, fix="Give a share above 0 and up to 1.")
    if len({len(member.losses) for member in members}) > 1:
        problems.add("its members have grids of unlike length.", where=name, fix="Revalue all on one grid.")
    problems.raise_if_any()
