"""More accounts than memory holds: shards of positions in, a file of figures for each out.

Call `margin_to_files(sources, pnl, plan, folder)`; a source is `Positions` or a function that loads them where they are
measured. Every file is written whole and says what it was made from, so that a run that was stopped goes on where it
was: files made from the same rules, P&L and positions are kept if they are intact, all others are made again. A folder
holds one run: it is refused if files of other names are there, and `_run.json` stands in it once all of the run is.
Files are Parquet where pyarrow is installed, else `.npz`; `read_run(folder)` opens them again.
`margin_many(...).report_of` explains an account of a source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from crossmargin.batch.engines import Engine, Progress, is_dask, opened, run, seen_by_all
from crossmargin.batch.figure_files import (
    INDEX,
    Columns,
    Origin,
    ShardFile,
    Spill,
    figure_files,
    intact,
    plain_bytes,
    read_run,
    read_shard,
    suffix,
    write_figures,
    write_index,
)
from crossmargin.batch.many import margin_many, refuse, stored
from crossmargin.batch.mapped import checksum
from crossmargin.batch.planning import Plan
from crossmargin.batch.positions import Positions
from crossmargin.batch.results import Batch
from crossmargin.batch.streaming import Stream
from crossmargin.errors import (
    CrossMarginError,
    InputError,
    Problem,
    Problems,
    check_kinds,
    is_count,
    kind_given,
    listed,
)
from crossmargin.pnl import PnL
from crossmargin.pricing.many_pools import Store
from crossmargin.scenarios import ScenarioSpec

Source: TypeAlias = Positions | Callable[[], Positions]
Made: TypeAlias = tuple[ShardFile, NDArray[np.uint64]]

__all__ = ["Source", "columns_of", "cut_positions", "margin_to_files", "read_run", "read_shard"]

_LONGEST = 255 - len(".parquet.json")  # bytes of a name
_NAMED = 5  # examples in a message


def margin_to_files(
    sources: Mapping[str, Source],
    pnl: Mapping[ScenarioSpec, PnL] | Store,
    plan: Plan,
    folder: str | PathLike[str],
    *,
    precision: str = "exact",
    complete: bool = False,
    threads: int = 1,
    engine: Engine = None,
    progress: Progress | bool | None = None,
) -> Spill:
    """Write the figures of every account of every source to files, and return where they are.

    Parameters
    ----------
    sources : mapping
        Name of each file -> positions, or a function of a module (or a `functools.partial` of one) that returns them.
        No account may stand in two of them; some 100,000 accounts in each are a good measure.
    folder : str or path
        Of this run alone, made if need be; on a cluster of several machines, one that all of them see.
    precision, threads
        As of `margin_many`, in each shard.
    complete : bool
        Whether accounts of which formulas leave something out are margined one by one, as by `Batch.completed`.
    engine, progress
        As of `engines.run`.

    Returns
    -------
    Spill

    Raises
    ------
    InputError
        Arguments that are none, a folder that cannot be written or holds figures of other names: before anything is
        done. What is wrong with any source, what its function raises included, and accounts that stand in two, which
        is told beforehand of positions that are given: all at once; the others are done.
    CrossMarginError
        A file cannot be written, such as for want of room; nothing of it stays, finished ones do.
    """
    _check(sources, pnl, plan, folder=folder, precision=precision, threads=threads)
    out = Path(folder).absolute()
    _check_folder(out, sources)
    store = pnl if isinstance(pnl, Store) else stored(pnl, plan, precision=precision)
    work = partial(_shard, folder=fspath(out), complete=complete, threads=threads)
    made_from = _made_from(plan, store) + (" and reports" if complete else "")
    origin = Origin(plan.market.as_of.isoformat(), _version(), plan.digest(), made_from)
    with opened(engine) as ready:
        _check_seen(out, ready)
        (out / INDEX).unlink(missing_ok=True)  # it stands for a run that is all there
        tasks = list(sources.items())
        found = run(work, (plan, origin), tasks, store=store, engine=ready, progress=progress, names=list(sources))
    problems, made = Problems(), dict[str, Made]()
    for name, each in zip(sources, found, strict=True):
        if isinstance(each, InputError):
            problems.extend(each.problems)
        else:
            made[name] = each
    marks = {name: mark for name, (_, mark) in made.items()}
    problems.extend(_standing_twice(marks, lambda name: read_shard(made[name][0].path)["account"]))
    problems.raise_if_any("Some sources were not margined")
    files = tuple(file for file, _ in made.values())
    write_index(out, origin, files)
    return Spill(files, origin)


def cut_positions(positions: Positions, count: int) -> dict[str, Positions]:
    """Return positions in memory cut into at most `count` sources of about as many rows each, by account.

    Raises
    ------
    InputError
        Columns of different lengths, accounts that are no numbers of labels or neither text nor whole numbers.

    Examples
    --------
    >>> cut = cut_positions(Positions(["b", "a", "c", "a"], [0, 1, 1, 0], [1.0, 2.0, 3.0, 4.0]), 2)
    >>> {name: part.labels.tolist() for name, part in cut.items()}
    {'accounts-0': ['a'], 'accounts-1': ['b', 'c']}
    """
    _check_cut(positions, count)
    numbered = evolve(positions.numbered(), template=positions.template)
    n_accounts, account = len(numbered.labels), numbered.account
    order = np.argsort(account, kind="stable")
    starts = np.searchsorted(account[order], np.arange(n_accounts + 1))
    inner = np.searchsorted(starts, starts[-1] * np.arange(1, count) / count) if n_accounts else []
    bounds = np.unique([0, *inner, n_accounts]).tolist()
    return {
        f"accounts-{first}": _accounts_of(numbered, order[starts[first] : starts[last]], first, last)
        for first, last in pairwise(bounds)
    }


# ------------------------------------------------------------------------------------------------------ a shard


def _shard(
    shared: tuple[Store, tuple[Plan, Origin]], task: tuple[str, Source], *, folder: str, complete: bool, threads: int
) -> Made | InputError:
    """Return the file of one source, made unless it is there, and marks of its accounts, or what is wrong with it."""
    store, (plan, origin) = shared
    name, source = task
    try:
        positions = _loaded_from(source)
        mark = _mark(origin.made_from, positions)
        path = Path(folder) / f"{name}{suffix()}"
        if (before := intact(path)).get("made_from") == mark:
            file = ShardFile(name, path, before["accounts"], before["sha256"], reused=True)
            return file, _marks(_names(positions))
        batch = margin_many(positions, store, plan, threads=threads)
        columns = columns_of(batch.completed(progress=False) if complete else batch)
    except CrossMarginError as error:
        problems = error.problems if isinstance(error, InputError) else (Problem(str(error), "figures"),)
        return InputError([evolve(each, where=f"{name}, {each.where}") for each in problems])
    about = write_figures(path, columns, mark=mark, origin=origin)
    return ShardFile(name, path, about["accounts"], about["sha256"], reused=False), _marks(_names(positions))


def _loaded_from(source: Any) -> Positions:
    try:
        positions = source() if callable(source) else source
    except InputError:
        raise
    except Exception as error:
        what, fix = f"raised {type(error).__name__}: {error}.", "Mend it and run again; what is done is kept."
        raise InputError([Problem(what, "source", fix)]) from error
    if not isinstance(positions, Positions):
        fix = "Let the function return Positions."
        raise InputError([Problem(f"gave {type(positions).__name__}.", "source", fix)])
    if _names(positions).dtype.kind == "S":
        raise InputError([Problem("are called by bytes.", "accounts", "Decode them: files hold text.")])
    return positions


def _names(positions: Positions) -> NDArray[Any]:
    """Return what accounts are called."""
    return positions.labels if positions.labels.size else positions.account


def columns_of(batch: Batch) -> Columns:
    """Return the figures of a batch by name, as `read_shard` has them."""
    accounts = batch.accounts
    if accounts.dtype.kind != "U":
        fits = not accounts.size or int(accounts.max()) <= np.iinfo(np.int64).max
        accounts = accounts.astype(np.int64 if fits else np.uint64)
    found: Columns = {"account": accounts, "template": batch.template, "error_bound": batch.error_bound}
    for asked in batch.plan.regimes:
        found[f"{asked.name}.unmodelled"] = batch.unmodelled(asked)
    for regime, level in dict.fromkeys((each.regime, each.level) for each in batch.plan.figures):
        for name in ("gross", "credit", "total", "whole"):
            found[f"{regime}.{level}.{name}"] = getattr(batch, name)(regime, level)
    for number, each in enumerate(batch.plan.figures):
        name = ".".join((each.regime, each.level, each.pot, each.rule, each.kind, str(number)))
        found[name] = np.ascontiguousarray(batch.values[:, number])
    return found


def _accounts_of(positions: Positions, rows: NDArray[np.int64], first: int, last: int) -> Positions:
    """Return some accounts with their rows, numbered from 0."""
    account, product, quantity = (column[rows] for column in (positions.account, positions.product, positions.quantity))
    return Positions(account - first, product, quantity, positions.labels[first:last], positions.template[first:last])


# ---------------------------------------------------------------------------------------------------- what is refused


def _check(sources: object, pnl: Any, plan: Plan, *, folder: object, precision: str, threads: int) -> None:
    """Raise everything that is wrong with the input before any source is looked into, at once."""
    problems = Problems()
    if not isinstance(sources, Mapping):
        fix = "Give a mapping: the name of each file -> Positions, or a function that returns them."
        problems.add(f"{kind_given(sources)} was given.", where="sources", fix=fix)
    for name, source in sources.items() if isinstance(sources, Mapping) else ():
        if why := _unfit(name):
            problems.add(why, where=f"source {name!r}", fix="Give a plain name.")
        if not (isinstance(source, Positions) or callable(source)):
            fix = "Give Positions or a function that returns them."
            problems.add(f"is {type(source).__name__}.", where=f"source {name!r}", fix=fix)
    problems.extend(_standing_twice_here(sources if isinstance(sources, Mapping) else {}))
    if isinstance(pnl, Stream):
        problems.add("is Stream.", where="pnl", fix="Give that of plan.revalue(), or store it.")
    if not isinstance(folder, str | PathLike) or not isinstance(fspath(folder), str) or "\0" in fspath(folder):
        problems.add(f"{folder!r} is no path.", where="folder", fix="Give the path of a folder.")
    with problems.collecting():
        refuse(Positions([], [], []), pnl, plan, precision=precision, threads=threads)
    problems.raise_if_any()


def _standing_twice_here(sources: Mapping[str, Source]) -> list[Problem]:
    """Return which accounts stand in two sources that are given as positions."""
    here = {name: _names(each) for name, each in sources.items() if isinstance(each, Positions)}
    named = {name: called for name, called in here.items() if called.ndim == 1 and called.dtype.kind in "iuU"}
    return _standing_twice({name: _marks(called) for name, called in named.items()}, named.__getitem__)


def _standing_twice(marks: Mapping[str, NDArray[np.uint64]], names: Callable[[str], NDArray[Any]]) -> list[Problem]:
    """Return which accounts stand in two sources, by marks of their names; what shares a mark is looked up by name."""
    every = np.sort(np.concatenate([np.zeros(0, np.uint64), *marks.values()]))
    twice = np.unique(every[1:][every[1:] == every[:-1]])
    standing: dict[Any, list[str]] = {}
    for source in [name for name, mine in marks.items() if np.isin(mine, twice).any()]:
        held = names(source)
        for account in np.unique(held[np.isin(_marks_of(held), twice)]).tolist():
            standing.setdefault(account, []).append(source)
    shared: dict[tuple[str, ...], list[str]] = {}
    for account, together in standing.items():
        if len(together) > 1:
            shared.setdefault(tuple(together), []).append(repr(account))
    fix = "Give all rows of an account in one source."
    return [
        Problem(f"have accounts in common: {listed(accounts, most=_NAMED)}.", f"sources {listed(map(repr, both))}", fix)
        for both, accounts in shared.items()
    ]


def _marks(names: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the marks of accounts, each once."""
    return np.unique(_marks_of(names))


def _marks_of(names: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a number for each name, the same wherever it is made, and hardly ever the same for two names."""
    if names.dtype.kind != "U" or not names.size:
        return names.astype(np.uint64)
    letters = names.astype(names.dtype.newbyteorder("=")).view(np.uint32).reshape(len(names), -1)
    weights = np.frombuffer(hashlib.shake_256(b"names").digest(8 * letters.shape[1]), "<u8") | np.uint64(1)
    marks: NDArray[np.uint64] = np.einsum("ij,j->i", letters, weights)
    return marks


def _unfit(name: object) -> str:
    """Return why a name cannot be that of a file, or nothing."""
    if not isinstance(name, str) or not name.isprintable() or name != Path(name).name or name[:1] in {"", "."}:
        return "cannot be the name of a file."
    size = len(name.encode())
    return f"has {size} bytes, more than {_LONGEST}." if size > _LONGEST else ""


def _check_folder(folder: Path, names: Iterable[str]) -> None:
    """Make the folder of a run; raise where it cannot be written or holds figures that are not of the run."""
    wanted = {f"{name}{suffix()}" for name in names}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            held = [each.name for each in figure_files(folder)]
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})."
        raise InputError([Problem(what, f"folder {folder}", "Give a folder that may be made and written.")]) from error
    if others := sorted(set(held) - wanted):
        fix = "Give each run a folder of its own, all sources of a run that goes on, or remove these files."
        what = f"holds files that no source of this run makes: {listed(others, most=_NAMED)}."
        raise InputError([Problem(what, f"folder {folder}", fix)])


def _check_cut(positions: Positions, count: int) -> None:
    """Raise everything that keeps positions from being cut."""
    check_kinds(positions=(positions, Positions, "Give Positions."))
    account, labels, problems = positions.account, positions.labels, Problems()
    shapes = {each.shape for each in (account, positions.product, positions.quantity)}
    if len(shapes) > 1 or account.ndim != 1 or len(positions.template) not in {0, len(labels)}:
        problems.add("columns of different lengths.", where="positions", fix="Give one entry of each per position.")
    whole = account.dtype.kind in "iu"
    if labels.size and account.size and not (whole and 0 <= account.min() <= account.max() < len(labels)):
        problems.add(f"numbers not from 0 to {len(labels) - 1}.", where="account", fix="Number the labels.")
    names = _names(positions)
    if names.size and names.dtype.kind not in "iuUS":
        fix = "Call all by text, or all by whole numbers."
        problems.add(f"are called by {names.dtype}.", where="accounts", fix=fix)
    if not is_count(count):
        problems.add(f"{count!r} is no number of sources.", where="count", fix="Give 1 or more.")
    problems.raise_if_any("These positions cannot be cut")


def _check_seen(folder: Path, engine: Engine) -> None:
    if not is_dask(engine):
        return
    with TemporaryDirectory(dir=folder, prefix=".seen-") as mark:
        if not seen_by_all(engine, mark):
            fix = "Give one that all machines of the cluster share."
            raise InputError([Problem("is not seen by every worker.", str(folder), fix)])


# ------------------------------------------------------------------------------------------------ marks and hashes


def _made_from(plan: Plan, store: Store) -> str:
    """Return a hash of all that figures follow from besides positions."""
    shape = store.segments, store.n_instruments, store.values.dtype.str
    told = f"{_version()} {plan.digest()} {shape}".encode()
    return hashlib.sha256(told + checksum(store.values.ravel())).hexdigest()


def _version() -> str:
    """Return the version of the library, whose figures may differ from those of another."""
    try:
        return version("crossmargin")
    except PackageNotFoundError:  # run from its sources
        return ""


def _mark(made_from: str, positions: Positions) -> str:
    found = hashlib.sha256(made_from.encode())
    for column in (positions.account, positions.product, positions.quantity, positions.labels, positions.template):
        found.update(f"{column.dtype} {column.shape}".encode() + plain_bytes(column))
    return found.hexdigest()
