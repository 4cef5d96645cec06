"""More accounts than memory holds: shards of positions in, a file of figures for each out.

Call `margin_to_files(sources, pnl, plan, folder)`; a source is `Positions` or a function that loads them where they are
measured. Every file is written whole and says what it was made from, so that a run that was stopped goes on where it
was: files made from the same rules, P&L and positions are kept if they are intact, all others are made again. Files are
Parquet where pyarrow is installed, else `.npz`. `margin_many(...).report_of` explains an account of any source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from crossmargin.batch.engines import Engine, Progress, is_dask, opened, run, seen_by_all
from crossmargin.batch.many import margin_many, stored
from crossmargin.batch.mapped import CorruptShard, checksum, written_whole
from crossmargin.batch.planning import Plan
from crossmargin.batch.positions import Positions
from crossmargin.batch.results import Batch
from crossmargin.errors import InputError, Problem, Problems, suggestion
from crossmargin.pnl import PnL
from crossmargin.pricing.many_pools import Store
from crossmargin.scenarios import ScenarioSpec

Source: TypeAlias = Positions | Callable[[], Positions]
Columns: TypeAlias = dict[str, NDArray[Any]]


@frozen
class ShardFile:
    """The figures of one source: its file, its accounts, the hash of its columns, whether an earlier run made it."""

    name: str
    path: Path
    accounts: int
    digest: str
    reused: bool


@frozen
class Spill:
    """The files of a run, in the order of its sources."""

    files: tuple[ShardFile, ...]

    def column(self, name: str) -> NDArray[Any]:
        """Return one column of all files, one after another; `read_shard` says which there are.

        Raises
        ------
        CorruptShard
            A file is damaged or gone; a further run makes it again.
        InputError
            There is no such column.
        """
        found = []
        for each in self.files:
            columns = read_shard(each.path)
            if name not in columns:
                raise InputError([Problem(f"no column {name!r}.", str(each.path), suggestion(name, columns))])
            found.append(columns[name])
        return np.concatenate(found) if found else np.empty(0)

    def digest(self) -> str:
        """Return a hash of every column of all accounts, the same however the accounts were cut into sources."""
        hashes: dict[str, Any] = {}
        for each in self.files:
            for name, column in read_shard(each.path).items():
                hashes.setdefault(name, hashlib.sha256()).update(_bytes(column))
        return hashlib.sha256("".join(name + each.hexdigest() for name, each in hashes.items()).encode()).hexdigest()


def margin_to_files(
    sources: Mapping[str, Source],
    pnl: Mapping[ScenarioSpec, PnL] | Store,
    plan: Plan,
    folder: str | PathLike[str],
    *,
    precision: str = "exact",
    threads: int = 1,
    engine: Engine = None,
    progress: Progress | bool | None = None,
) -> Spill:
    """Write the figures of every account of every source to files, and return where they are.

    Parameters
    ----------
    sources : mapping
        Name of each file -> positions, or a function of a module (or a `functools.partial` of one) that returns them.
        No account may stand in two sources; some 100,000 accounts in each are a good measure.
    folder : str or path
        Made if need be; on a cluster of several machines, one that all of them see.
    precision, threads
        As of `margin_many`, in each shard.
    engine, progress
        As of `engines.run`.

    Returns
    -------
    Spill

    Raises
    ------
    InputError
        What is wrong with any source, all at once; the files of the others are there.
    CrossMarginError
        A file cannot be written, such as for want of room; nothing of it stays, finished ones do.
    """
    out = Path(folder).absolute()
    _check(sources, pnl)
    out.mkdir(parents=True, exist_ok=True)
    store = pnl if isinstance(pnl, Store) else stored(pnl, plan, precision=precision)
    work = partial(_shard, folder=fspath(out), threads=threads)
    shared = plan, store, _made_from(plan, store)
    with opened(engine) as ready:
        _check_seen(out, ready)
        found = run(work, shared, list(sources.items()), engine=ready, progress=progress, names=list(sources))
    problems = Problems()
    for each in found:
        if isinstance(each, InputError):
            problems.extend(each.problems)
    problems.raise_if_any("Some sources were not margined")
    return Spill(tuple(found))


def cut_positions(positions: Positions, count: int) -> dict[str, Positions]:
    """Return positions in memory cut into at most `count` sources of about as many rows each, by account.

    Raises
    ------
    InputError
        Columns of different lengths, accounts that are no numbers of labels.

    Examples
    --------
    >>> cut = cut_positions(Positions(["b", "a", "c", "a"], [0, 1, 1, 0], [1.0, 2.0, 3.0, 4.0]), 2)
    >>> {name: part.labels.tolist() for name, part in cut.items()}
    {'accounts-0': ['a'], 'accounts-1': ['b', 'c']}
    """
    numbered = positions.numbered()
    n_accounts, account = len(numbered.labels), numbered.account
    problems = Problems()
    if len({len(account), len(numbered.product), len(numbered.quantity)}) > 1 or len(numbered.template) != n_accounts:
        problems.add("columns of different lengths.", where="positions", fix="Give one entry of each per position.")
    if account.size and not (account.dtype.kind in "iu" and account.min() >= 0 and account.max() < n_accounts):
        problems.add(f"numbers not from 0 to {n_accounts - 1}.", where="account", fix="Number the labels.")
    problems.raise_if_any("These positions cannot be cut")
    order = np.argsort(account, kind="stable")
    starts = np.searchsorted(account[order], np.arange(n_accounts + 1))
    inner = np.searchsorted(starts, starts[-1] * np.arange(1, count) / count) if n_accounts else []
    bounds = np.unique([0, *inner, n_accounts]).tolist()
    return {
        f"accounts-{first}": _accounts_of(numbered, order[starts[first] : starts[last]], first, last)
        for first, last in pairwise(bounds)
    }


def read_shard(path: str | PathLike[str]) -> Columns:
    """Return the columns of a file [n_accounts each], USD, once their hash is found to be right.

    `account`; `template`, `error_bound` and `unmodelled` as of `Batch`; for every regime and level `gross`, `credit`,
    `total` and `whole`, such as `siloed.clearing.total`; every figure, by regime, level, pot, rule, kind and number.

    Raises
    ------
    CorruptShard
        The file is damaged, gone, or none of these.
    """
    if not _about(Path(path)):
        raise CorruptShard(f"{path}: is gone or not what was written. Run again to make it anew.")
    return _loaded(Path(path))


# ------------------------------------------------------------------------------------------------------ a shard


def _shard(
    shared: tuple[Plan, Store, str], task: tuple[str, Source], *, folder: str, threads: int
) -> ShardFile | InputError:
    """Return the file of one source, made unless it is there, or what is wrong with the source."""
    plan, store, made_from = shared
    name, source = task
    try:
        positions = _loaded_from(source)
        mark = _mark(made_from, positions)
        path = Path(folder) / f"{name}{_suffix()}"
        if (before := _about(path)).get("made_from") == mark:
            return ShardFile(name, path, before["accounts"], before["sha256"], reused=True)
        columns = columns_of(margin_many(positions, store, plan, threads=threads))
    except InputError as error:
        return InputError([evolve(each, where=f"{name}, {each.where}") for each in error.problems])
    about = _write(path, columns, mark)
    return ShardFile(name, path, about["accounts"], about["sha256"], reused=False)


def _loaded_from(source: Any) -> Positions:
    positions = source() if callable(source) else source
    if not isinstance(positions, Positions):
        fix = "Let the function return Positions."
        raise InputError([Problem(f"gave {type(positions).__name__}.", "source", fix)])
    return positions


def columns_of(batch: Batch) -> Columns:
    """Return the figures of a batch by name, as `read_shard` has them."""
    accounts = batch.accounts if batch.accounts.dtype.kind == "U" else batch.accounts.astype(np.int64)
    found: Columns = {"account": accounts, "template": batch.template, "error_bound": batch.error_bound}
    found["unmodelled"] = batch.unmodelled
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


def _check(sources: Mapping[Any, Any], pnl: object) -> None:
    """Raise everything that is wrong with the input before any source is looked into, at once."""
    problems = Problems()
    for name, source in sources.items():
        if not isinstance(name, str) or not name or name != Path(name).name or name.startswith("."):
            problems.add("cannot be the name of a file.", where=f"source {name!r}", fix="Give a plain name.")
        if not (isinstance(source, Positions) or callable(source)):
            fix = "Give Positions or a function that returns them."
            problems.add(f"is {type(source).__name__}.", where=f"source {name!r}", fix=fix)
    if not isinstance(pnl, Store | Mapping):
        problems.add(f"is {type(pnl).__name__}.", where="pnl", fix="Give that of plan.revalue(), or store it.")
    problems.raise_if_any()


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
    return hashlib.sha256(f"{plan.digest()} {shape}".encode() + checksum(store.values.ravel())).hexdigest()


def _mark(made_from: str, positions: Positions) -> str:
    found = hashlib.sha256(made_from.encode())
    for column in (positions.account, positions.product, positions.quantity, positions.labels, positions.template):
        found.update(f"{column.dtype} {column.shape}".encode() + _bytes(column))
    return found.hexdigest()


def _bytes(column: NDArray[Any]) -> bytes:
    """Return what a column holds, whatever width its texts are stored in and whatever machine stores it."""
    if column.dtype.kind in "UO":
        return "".join(f"{each!r}\n" for each in column.tolist()).encode()
    plain = column + 0.0 if column.dtype.kind == "f" else column  # one zero
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes()


# ---------------------------------------------------------------------------------------------------------- files


def _suffix() -> str:
    return ".parquet" if find_spec("pyarrow") else ".npz"


def _write(path: Path, columns: Columns, mark: str) -> dict[str, Any]:
    """Write columns, then what they were made from and the hash of their file beside it; without that they are none."""
    beside = _beside(path)
    with written_whole(path) as part:
        (_write_parquet if path.suffix == ".parquet" else _write_npz)(part, columns)
        digest = hashlib.sha256(part.read_bytes()).hexdigest()
    about = {"made_from": mark, "accounts": len(columns["account"]), "sha256": digest}
    with written_whole(beside) as part:
        part.write_text(json.dumps(about), encoding="utf-8")
    return about


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_parquet(path: Path, columns: Columns) -> None:
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    parquet.write_table(arrow.table({name: arrow.array(column) for name, column in columns.items()}), path)


def _write_npz(path: Path, columns: Columns) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _about(path: Path) -> dict[str, Any]:
    """Return what a file was made from, its accounts and its hash; nothing where it is not intact."""
    try:
        about: dict[str, Any] = json.loads(_beside(path).read_text(encoding="utf-8"))
        intact = about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return about if intact else {}


def _loaded(path: Path) -> Columns:
    if path.suffix == ".parquet":
        table = import_module("pyarrow.parquet").read_table(path)
        return {name: _array(table[name]) for name in table.column_names}
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _array(column: Any) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return values.astype(str) if values.dtype.kind == "O" else values
