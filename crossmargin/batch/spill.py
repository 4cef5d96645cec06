"""More accounts than memory holds: shards of positions in, a file of figures for each out.

Call `margin_to_files(sources, pnl, plan, folder)`; a source is `Positions` or a function that loads them where they are
measured. Every file is written whole and says what it was made from, so that a run that was stopped goes on where it
was: files made from the same rules, P&L and positions are kept if they are intact, all others are made again. A folder
holds one run: it is refused if files of other names are there, and `_run.json` stands in it once all of the run is.
Files are Parquet where pyarrow is installed, else `.npz`. `margin_many(...).report_of` explains an account of a source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from os import PathLike, fspath
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from crossmargin.batch.engines import Engine, Progress, is_count, is_dask, opened, run, seen_by_all
from crossmargin.batch.many import margin_many, refuse, stored
from crossmargin.batch.mapped import CorruptShard, checksum, written_whole
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
    kind_given,
    listed,
    suggestion,
)
from crossmargin.io.extras import extra
from crossmargin.pnl import PnL
from crossmargin.pricing.many_pools import Store
from crossmargin.scenarios import ScenarioSpec

Source: TypeAlias = Positions | Callable[[], Positions]
Columns: TypeAlias = dict[str, NDArray[Any]]

INDEX = "_run.json"
_SUFFIXES = (".parquet", ".npz")
_LONGEST = 255 - len(".parquet.json")  # bytes of a name
_NAMED = 5  # examples in a message


@frozen
class ShardFile:
    """The figures of one source: its file, its accounts, the SHA-256 of the file, whether an earlier run made it."""

    name: str
    path: Path
    accounts: int
    digest: str
    reused: bool


@frozen
class Spill:
    """The files of a run, in the order of its sources; what another run put in their place is not read."""

    files: tuple[ShardFile, ...]

    def column(self, name: str) -> NDArray[Any]:
        """Return one column of all files, one after another; `read_shard` says which there are.

        Raises
        ------
        CorruptShard
            A file is damaged or gone, and a further run makes it again; or another run wrote it.
        InputError
            There is no such column, or it is of numbers here and of text there.
        """
        found = []
        for each in self.files:
            columns = _of_run(each)
            if name not in columns:
                raise InputError([Problem(f"no column {name!r}.", str(each.path), suggestion(str(name), columns))])
            found.append(columns[name])
        return _joined(name, found)

    def digest(self) -> str:
        """Return a hash of every column of all accounts, the same however the accounts were cut into sources.

        Raises
        ------
        CorruptShard
        """
        hashes: dict[str, Any] = {}
        for each in self.files:
            for name, column in _of_run(each).items():
                hashes.setdefault(name, hashlib.sha256()).update(_bytes(column))
        return hashlib.sha256("".join(name + each.hexdigest() for name, each in hashes.items()).encode()).hexdigest()


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
        No account may stand in two sources; some 100,000 accounts in each are a good measure.
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
        done. What is wrong with any source, what its function raises included: all at once; the others are done.
    CrossMarginError
        A file cannot be written, such as for want of room; nothing of it stays, finished ones do.
    """
    _check(sources, pnl, plan, folder=folder, precision=precision, threads=threads)
    out = Path(folder).absolute()
    _check_folder(out, sources)
    store = pnl if isinstance(pnl, Store) else stored(pnl, plan, precision=precision)
    work = partial(_shard, folder=fspath(out), complete=complete, threads=threads)
    shared = plan, store, _made_from(plan, store) + (" and reports" if complete else "")
    with opened(engine) as ready:
        _check_seen(out, ready)
        (out / INDEX).unlink(missing_ok=True)  # it stands for a run that is all there
        found = run(work, shared, list(sources.items()), engine=ready, progress=progress, names=list(sources))
    problems = Problems()
    for each in found:
        if isinstance(each, InputError):
            problems.extend(each.problems)
    problems.raise_if_any("Some sources were not margined")
    _write_index(out / INDEX, plan, made_from=shared[2], files=found)
    return Spill(tuple(found))


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


def read_shard(path: str | PathLike[str]) -> Columns:
    """Return the columns of a file [n_accounts each], USD, once their hash is found to be right.

    `account`; `template`, `error_bound` and `unmodelled` as of `Batch`; for every regime and level `gross`, `credit`,
    `total` and `whole`, such as `siloed.clearing.total`; every figure that formulas find, by regime, level, pot, rule,
    kind and number.

    Raises
    ------
    CorruptShard
        The file is damaged, gone, or none of these.
    """
    return _loaded(Path(path), str(_told(Path(path)).get("sha256")))


# ------------------------------------------------------------------------------------------------------ a shard


def _shard(
    shared: tuple[Plan, Store, str], task: tuple[str, Source], *, folder: str, complete: bool, threads: int
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
        batch = margin_many(positions, store, plan, threads=threads)
        columns = columns_of(batch.completed(progress=False) if complete else batch)
    except CrossMarginError as error:
        problems = error.problems if isinstance(error, InputError) else (Problem(str(error), "figures"),)
        return InputError([evolve(each, where=f"{name}, {each.where}") for each in problems])
    about = _write(path, columns, mark)
    return ShardFile(name, path, about["accounts"], about["sha256"], reused=False)


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


def _joined(name: str, parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Return a column of several files as one, every value as it is."""
    held = [part for part in parts if part.size] or parts
    kinds = {part.dtype.kind for part in held}
    if kinds == {"i", "u"} and all(part.min() >= 0 for part in held):
        held = [part.astype(np.uint64) for part in held]
    elif len(kinds) > 1:
        fix = "Call accounts by text in all sources, or by whole numbers of one sign."
        raise InputError([Problem("differs in kind from file to file; read them one by one.", name, fix)])
    return np.concatenate(held) if held else np.empty(0)


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
    if isinstance(pnl, Stream):
        problems.add("is Stream.", where="pnl", fix="Give that of plan.revalue(), or store it.")
    if not isinstance(folder, str | PathLike) or not isinstance(fspath(folder), str) or "\0" in fspath(folder):
        problems.add(f"{folder!r} is no path.", where="folder", fix="Give the path of a folder.")
    with problems.collecting():
        refuse(Positions([], [], []), pnl, plan, precision=precision, threads=threads)
    problems.raise_if_any()


def _unfit(name: object) -> str:
    """Return why a name cannot be that of a file, or nothing."""
    if not isinstance(name, str) or not name.isprintable() or name != Path(name).name or name[:1] in {"", "."}:
        return "cannot be the name of a file."
    size = len(name.encode())
    return f"has {size} bytes, more than {_LONGEST}." if size > _LONGEST else ""


def _check_folder(folder: Path, names: Iterable[str]) -> None:
    """Make the folder of a run; raise where it cannot be written or holds figures that are not of the run."""
    wanted = {f"{name}{_suffix()}" for name in names}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            held = [each.name for each in folder.iterdir() if each.suffix in _SUFFIXES and each.name[0] != "."]
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


def _write_index(path: Path, plan: Plan, *, made_from: str, files: Iterable[ShardFile]) -> None:
    """Write which files the run has, what all were made from, and the hash of each."""
    held = [{"name": each.name, "file": each.path.name, "accounts": each.accounts, "sha256": each.digest}
            for each in files]  # fmt: skip
    with written_whole(path) as part:
        text = json.dumps({"plan": plan.digest(), "made_from": made_from, "files": held}, indent=1)
        part.write_text(text, encoding="utf-8")


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
    arrow, parquet = extra("pyarrow", "frames"), extra("pyarrow.parquet", "frames")
    parquet.write_table(arrow.table({name: arrow.array(column) for name, column in columns.items()}), path)


def _write_npz(path: Path, columns: Columns) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _about(path: Path) -> dict[str, Any]:
    """Return what a file was made from, its accounts and its hash; nothing where it is not intact."""
    about = _told(path)
    try:
        return about if about.get("sha256") == hashlib.sha256(path.read_bytes()).hexdigest() else {}
    except OSError:
        return {}


def _told(path: Path) -> dict[str, Any]:
    """Return what is said beside a file, if anything is."""
    try:
        about = json.loads(_beside(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _of_run(file: ShardFile) -> Columns:
    """Return the columns of a file if it is the one that the run made."""
    if _told(file.path).get("sha256", file.digest) != file.digest:
        fix = "Read the files of that run, or run this one again in a folder of its own."
        raise CorruptShard(f"{file.path}: another run wrote it since. {fix}")
    return _loaded(file.path, file.digest)


def _loaded(path: Path, digest: str) -> Columns:
    """Return the columns of a file that has this hash."""
    try:
        raw = path.read_bytes()
    except OSError:
        raw = b""
    if hashlib.sha256(raw).hexdigest() != digest:
        raise CorruptShard(f"{path}: is gone or not what was written. Run again to make it anew.")
    if path.suffix == ".parquet":
        held = extra("pyarrow", "frames").BufferReader(raw)
        table = extra("pyarrow.parquet", "frames").ParquetFile(held).read(use_threads=False)  # no pool that outlives it
        return {name: _array(table[name]) for name in table.column_names}
    with np.load(BytesIO(raw), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _array(column: Any) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return values.astype(str) if values.dtype.kind == "O" else values
