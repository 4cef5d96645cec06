"""Files of figures, read: `read_run(folder)` opens what `spill.margin_to_files` wrote, without its sources.

`read_shard(path)` reads one file. Whatever is read has the hash that was written down when it was made; what has not is
refused, not read. Nothing here margins.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from attrs import asdict, frozen
from numpy.typing import NDArray

from crossmargin.batch.mapped import CorruptShard, written_whole
from crossmargin.errors import InputError, Problem, Problems, listed, suggestion
from crossmargin.io.extras import extra
from crossmargin.results import LEVELS

Columns: TypeAlias = dict[str, NDArray[Any]]

INDEX = "_run.json"
_SUFFIXES = (".parquet", ".npz")
_NAMED = 5  # examples in a message
_ANEW = "Run again to make it anew."


@frozen
class Origin:
    """What the figures of a run follow from, besides positions.

    Attributes
    ----------
    as_of : str
        Date of the market.
    version : str
        Of the library; "" where it runs from its sources.
    plan : str
        `Plan.digest`.
    made_from : str
        Hash of plan, P&L and version, and whether accounts were completed by reports.
    """

    as_of: str
    version: str
    plan: str
    made_from: str


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
    """The files of a run, in the order of its sources; what another run put in their place is not read.

    Attributes
    ----------
    files : tuple of ShardFile
    origin : Origin
        Which run it is.
    finished : bool
        Whether these are all of its files.
    left_out : tuple of str
        Files in its folder that are not intact, of a run that is not finished.
    """

    files: tuple[ShardFile, ...]
    origin: Origin
    finished: bool = True
    left_out: tuple[str, ...] = ()

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
            columns = _of_run(each, lambda held: held == name)
            if name not in columns:
                what, fix = f"no column {name!r}.", suggestion(str(name), _of_run(each))
                raise InputError([Problem(what, str(each.path), fix)])
            found.append(columns[name])
        return _joined(name, found)

    def totals(self) -> Columns:
        """Return `account`, and of every regime and level `total`, USD, and `whole`, of all files one after another.

        Raises
        ------
        CorruptShard
            As `column`.
        InputError
            Accounts are called by numbers here and by text there.
        """
        parts = [_of_run(each, lambda held: held == "account" or _is_total(held)) for each in self.files]
        names = parts[0] if parts else ["account"]
        return {name: _joined(name, [part[name] for part in parts]) for name in names}

    def not_whole(self) -> Columns:
        """Return by regime and level, such as `siloed.clearing`, the accounts whose total leaves something out.

        Their report has more than the total; see `Batch.whole`. Regimes and levels that are whole are dropped.

        Raises
        ------
        CorruptShard, InputError
            As `totals`.
        """
        held = self.totals()
        ends = {name.removesuffix(".whole"): ~column for name, column in held.items() if name.endswith(".whole")}
        return {name: held["account"][missing] for name, missing in ends.items() if missing.any()}

    def digest(self) -> str:
        """Return a hash of every column of all accounts, the same however the accounts were cut into sources.

        Raises
        ------
        CorruptShard
        """
        hashes: dict[str, Any] = {}
        for each in self.files:
            for name, column in _of_run(each).items():
                hashes.setdefault(name, hashlib.sha256()).update(plain_bytes(column))
        return hashlib.sha256("".join(name + each.hexdigest() for name, each in hashes.items()).encode()).hexdigest()


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


def read_run(folder: str | PathLike[str], *, unfinished: bool = False) -> Spill:
    """Return the run whose figures lie in a folder, every file of it intact.

    Parameters
    ----------
    folder : str or path
        As given to `margin_to_files`.
    unfinished : bool
        Whether to take what is there of a run that has stopped, still goes on, or has lost files: those that are
        intact. `Spill.left_out` names the others, as far as they are there.

    Raises
    ------
    InputError
        No folder, none of a run, one of several runs, one that is not finished; every file that is gone, damaged, of
        another run or of none: all at once.
    """
    path, held = _looked_into(folder)
    if not (path / INDEX).is_file() and not unfinished:
        what = f"is of a run that is not finished: {len(held):,} files, no {INDEX}." if held else "has no run."
        fix = "Run it again to finish it, or take what is there with unfinished=True."
        raise InputError([Problem(what, f"folder {path}", fix if held else "Give that of `margin_to_files`.")])
    try:
        return _finished(path, held)
    except InputError:
        if not unfinished:
            raise
        return _unfinished(path, held)


# ------------------------------------------------------------------------------------------------- opening a folder


def figure_files(folder: Path) -> list[Path]:
    """Return the files of a folder that may hold figures, by name."""
    return sorted(each for each in folder.iterdir() if each.suffix in _SUFFIXES and each.name[0] != ".")


def _looked_into(folder: object) -> tuple[Path, list[Path]]:
    """Return the path of a folder and the files that may hold figures; raise where it is none."""
    if not isinstance(folder, str | PathLike) or not isinstance(fspath(folder), str) or "\0" in fspath(folder):
        raise InputError([Problem(f"{folder!r} is no path.", "folder", "Give the path of a folder.")])
    path = Path(folder).absolute()
    try:
        return path, figure_files(path)
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})."
        raise InputError([Problem(what, f"folder {path}", "Give that of `margin_to_files`.")]) from error


def _finished(folder: Path, held: Iterable[Path]) -> Spill:
    """Return a run by what it says of itself; raise everything that is not as it says."""
    try:
        told = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        origin, files = _origin(told), tuple(_file(folder, each) for each in told["files"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        what = "is damaged, or of something else."
        raise InputError([Problem(what, str(folder / INDEX), "Run again to write it anew.")]) from error
    problems = Problems()
    if len({each.path for each in files}) < len(files):
        problems.add("names a file twice.", where=str(folder / INDEX), fix="Run again to write it anew.")
    for each in files:
        if (found := _hash(each.path)) != each.digest:
            if not found:
                problems.add("is gone.", where=str(each.path), fix=_ANEW)
            elif _told(each.path).get("sha256") == found:
                problems.add("was written by another run since.", where=str(each.path), fix=_ANEW)
            else:
                problems.add("is damaged: it is not what was written.", where=str(each.path), fix=_ANEW)
    if others := sorted({each.name for each in held} - {each.path.name for each in files}):
        what = f"holds files that are none of its run: {listed(others, most=_NAMED)}."
        problems.add(what, where=f"folder {folder}", fix="Remove them, or give each run a folder of its own.")
    problems.raise_if_any("This run cannot be read")
    return Spill(files, origin)


def _unfinished(folder: Path, held: Iterable[Path]) -> Spill:
    """Return the files of a folder that are intact, if all of them are of one run."""
    files: dict[ShardFile, Origin] = {}
    left = []
    for path in held:
        try:
            about = intact(path)
            files[_file(folder, {**about, "name": path.stem, "file": path.name})] = _origin(about["run"])
        except (ValueError, TypeError, KeyError):
            left.append(path.name)
    runs = set(files.values())
    if len(runs) != 1:
        what = f"holds files of {len(runs)} runs." if runs else "holds no file of a run that is intact."
        raise InputError([Problem(what, f"folder {folder}", "Run again to finish the one that you want.")])
    return Spill(tuple(files), runs.pop(), finished=False, left_out=tuple(left))


def _origin(told: Mapping[str, Any]) -> Origin:
    """Return which run it is; raise ValueError, TypeError or KeyError where it is not said."""
    found = Origin(*(told[name] for name in ("as_of", "version", "plan", "made_from")))
    if not all(isinstance(each, str) for each in asdict(found).values()):
        raise TypeError
    return found


def _file(folder: Path, told: Mapping[str, Any]) -> ShardFile:
    """Return a file of a run as it is told of; raise TypeError, ValueError or KeyError where that cannot be."""
    name, file, accounts, digest = (told[key] for key in ("name", "file", "accounts", "sha256"))
    if not all(isinstance(each, str) for each in (name, file, digest)) or type(accounts) is not int:
        raise TypeError
    if file != Path(file).name or accounts < 0:
        raise ValueError
    return ShardFile(name, folder / file, accounts, digest, reused=True)


# ------------------------------------------------------------------------------------------------------------ files


def suffix() -> str:
    """Return how files of figures end: Parquet where it can be written."""
    return ".parquet" if find_spec("pyarrow") else ".npz"


def write_index(folder: Path, origin: Origin, files: Iterable[ShardFile]) -> None:
    """Write which files the run has, what all were made from, and the hash of each."""
    held = [{"name": each.name, "file": each.path.name, "accounts": each.accounts, "sha256": each.digest}
            for each in files]  # fmt: skip
    with written_whole(folder / INDEX) as part:
        part.write_text(json.dumps({**asdict(origin), "files": held}, indent=1), encoding="utf-8")


def write_figures(path: Path, columns: Columns, *, mark: str, origin: Origin) -> dict[str, Any]:
    """Write columns, then what they were made from and the hash of their file beside it; without that they are none."""
    beside = _beside(path)
    with written_whole(path) as part:
        (_write_parquet if path.suffix == ".parquet" else _write_npz)(part, columns)
        digest = _hash(part)
    about = {"made_from": mark, "accounts": len(columns["account"]), "sha256": digest, "run": asdict(origin)}
    with written_whole(beside) as part:
        part.write_text(json.dumps(about), encoding="utf-8")
    return about


def intact(path: Path) -> dict[str, Any]:
    """Return what a file was made from, its accounts and its hash; nothing where it is not intact."""
    about = _told(path)
    return about if about and about.get("sha256") == _hash(path) else {}


def plain_bytes(column: NDArray[Any]) -> bytes:
    """Return what a column holds, whatever width its texts are stored in and whatever machine stores it."""
    if column.dtype.kind in "UO":
        return "".join(f"{each!r}\n" for each in column.tolist()).encode()
    plain = column + 0.0 if column.dtype.kind == "f" else column  # one zero
    return plain.astype(plain.dtype.newbyteorder("<"), copy=False).tobytes()


def _is_total(name: str) -> bool:
    """Whether a column is the total of a level, or says whether that is whole."""
    return name.endswith(tuple(f".{level}.{end}" for level in LEVELS for end in ("total", "whole")))


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _hash(path: Path) -> str:
    """Return the SHA-256 of a file; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _told(path: Path) -> dict[str, Any]:
    """Return what is said beside a file, if anything is."""
    try:
        about = json.loads(_beside(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _write_parquet(path: Path, columns: Columns) -> None:
    arrow, parquet = extra("pyarrow", "frames"), extra("pyarrow.parquet", "frames")
    parquet.write_table(arrow.table({name: arrow.array(column) for name, column in columns.items()}), path)


def _write_npz(path: Path, columns: Columns) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)


def _any(_: str) -> bool:
    return True


def _of_run(file: ShardFile, wanted: Callable[[str], bool] = _any) -> Columns:
    """Return columns of a file if it is the one that the run made."""
    if _told(file.path).get("sha256", file.digest) != file.digest:
        fix = "Read the files of that run, or run this one again in a folder of its own."
        raise CorruptShard(f"{file.path}: another run wrote it since. {fix}")
    return _loaded(file.path, file.digest, wanted)


def _loaded(path: Path, digest: str, wanted: Callable[[str], bool] = _any) -> Columns:
    """Return columns of a file that has this hash."""
    try:
        raw = path.read_bytes()
    except OSError:
        raw = b""
    if hashlib.sha256(raw).hexdigest() != digest:
        raise CorruptShard(f"{path}: is gone or not what was written. {_ANEW}")
    if path.suffix == ".parquet":
        file = extra("pyarrow.parquet", "frames").ParquetFile(extra("pyarrow", "frames").BufferReader(raw))
        names = [name for name in file.schema_arrow.names if wanted(name)]
        table = file.read(names, use_threads=False)  # no pool that outlives it
        return {name: _array(table[name]) for name in names}
    with np.load(BytesIO(raw), allow_pickle=False) as held:
        return {name: held[name] for name in held.files if wanted(name)}


def _array(column: Any) -> NDArray[Any]:
    values: NDArray[Any] = column.to_numpy()
    return values.astype(str) if values.dtype.kind == "O" else values


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
