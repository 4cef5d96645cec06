"""Engines: where the shards of a batch are measured. Results come back in order, each exactly once.

Call `run(work, shared, tasks, engine=...)`. An engine is None (this process), an executor of `concurrent.futures`, a
`distributed.Client`, `"dask"` (a cluster on this machine for the time of the call), or anything with an ordered `map`.
No engine is imported here unless it is used, and none changes a bit of what comes out.

What tasks share is written once to a file that every process of the machine maps, or sent once to each worker of a
cluster that does not see that file; P&L once for all runs over it, for as long as it lives. A task whose worker died is
done again, as is one whose file was damaged.
"""

from __future__ import annotations

import concurrent.futures as cf
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from os import cpu_count
from os.path import isdir
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

from attrs import evolve, frozen

from crossmargin.batch.mapped import CorruptShard, Handle, content, fetch, fetch_kept, fetch_once, kept_file, publish
from crossmargin.errors import CrossMarginError, InputError, Problem, suggestion
from crossmargin.pricing.many_pools import Store

Engine: TypeAlias = Any
Progress: TypeAlias = Callable[[int, int, str], None]
Work: TypeAlias = Callable[[Any, Any], Any]
Outcome: TypeAlias = tuple[int, Any]
Futures: TypeAlias = dict[Any, int]

_CLOSED = ("closing", "closed", "CLOSE", "TERMINATE")  # of Dask; of multiprocessing
TRIES = 3
BAR_AFTER = 2.0  # seconds
WORKER_WITHIN = 30  # seconds, of a cluster that has none


def run(
    work: Work,
    shared: Any,
    tasks: Sequence[Any],
    *,
    store: Store | None = None,
    engine: Engine = None,
    progress: Progress | bool | None = None,
    names: Sequence[str] = (),
) -> list[Any]:
    """Return `work(shared, task)` of every task, in their order; with P&L, `work((store, shared), task)`.

    Parameters
    ----------
    work : callable
        Of a module, so that other processes find it. It may be called again for the same task, never counted twice.
    shared : object
        What all tasks read; it reaches each machine once.
    tasks : sequence
    store : Store, optional
        P&L that all tasks read. It reaches each machine once for all runs over it, again only where a number in it has
        changed or what was sent is lost, and is given back when the store is gone.
    engine : None, str, executor or client
    progress : callable or bool, optional
        Called with the tasks done, those there are, and the name of the last. Without one a bar shows on a terminal
        after two seconds if `tqdm` is installed; False shows nothing.
    names : sequence of str, optional
        Of the tasks, for progress and errors.

    Raises
    ------
    InputError
        No such engine, one that is closed or has no worker, or something that cannot be sent to another process.
    CrossMarginError
        Tasks were lost again and again, or there is no room for what they share.
    Exception
        Whatever `work` raises; the other tasks are called off.
    """
    labels = names or [f"shard {number}" for number in range(len(tasks))]
    job, found = _Job(work, shared, store), dict[int, Any]()
    with opened(engine) as ready, _told(len(tasks), progress=progress) as tell:
        for number, result in _results(job, tasks, ready):
            found[number] = result
            tell(len(found), labels[number])
    return [found[number] for number in range(len(tasks))]


@contextmanager
def opened(engine: Engine) -> Iterator[Engine]:
    """Yield the engine of a name, closed afterwards, or the engine given; raise where it is none."""
    if engine is None or (isinstance(engine, str) and engine == "threads"):
        yield None
    elif isinstance(engine, str):
        with _cluster(engine) as client:
            yield client
    elif not (hasattr(engine, "submit") or hasattr(engine, "map")):
        fix = 'Give an executor of concurrent.futures, a distributed.Client, or "dask".'
        raise InputError([Problem(f"{type(engine).__name__} is no engine.", "engine", fix)])
    elif is_dask(engine) and getattr(engine, "asynchronous", False):
        fix = "Give a Client made without asynchronous=True."
        raise InputError([Problem("an asynchronous client cannot be waited for.", "engine", fix)])
    elif getattr(engine, "status", "") in _CLOSED or getattr(engine, "_state", "") in _CLOSED:
        raise InputError([Problem(f"{type(engine).__name__} is closed.", "engine", "Give one that is open.")])
    else:
        if is_dask(engine):
            _with_a_worker(engine)
        yield engine


def is_dask(engine: Engine) -> bool:
    """Whether an engine is a client of Dask, without importing that."""
    return type(engine).__module__.split(".")[0] == "distributed" and hasattr(engine, "scatter")


def workers(engine: Engine) -> int:
    """Return how many tasks an engine does at a time."""
    if engine is None:
        return 1
    if is_dask(engine):
        return sum(engine.nthreads().values()) or 1
    return int(getattr(engine, "_max_workers", 0) or getattr(engine, "_processes", 0) or cpu_count() or 1)


def seen_by_all(client: Any, folder: str) -> bool:
    """Whether a folder of this process is one of every worker."""
    seen = client.run(isdir, folder)
    return bool(seen) and all(seen.values())


# --------------------------------------------------------------------------------------------------- ways of work


@frozen(eq=False)
class _Job:
    """What the tasks of a run have in common."""

    work: Work
    shared: Any
    store: Store | None

    def published(self, folder: str) -> tuple[Handle | None, Handle]:
        """Return the files of P&L, if there is any, and of what is shared beside it."""
        return None if self.store is None else kept_file(self.store), publish(self.shared, folder)

    def scattered(self, client: Any) -> tuple[Any, Any]:
        """Return P&L, if there is any, and what is shared beside it, sent to every worker of a cluster."""
        kept = None if self.store is None else _scattered(self.store, client)
        return kept, client.scatter([self.shared], broadcast=True, hash=False)[0]


def _results(job: _Job, tasks: Sequence[Any], engine: Engine) -> Iterator[Outcome]:
    """Yield number and result of each task once, as they come in."""
    if engine is None:
        yield from ((number, _done(job.work, job.store, job.shared, task)) for number, task in enumerate(tasks))
    elif hasattr(engine, "submit"):
        yield from _repeated(job, tasks, engine)
    else:
        with _folder() as folder:
            on_files = partial(_on_files, job.work, job.published(folder))
            yield from enumerate(engine.map(on_files, [publish(task, folder) for task in tasks]))


def _repeated(job: _Job, tasks: Sequence[Any], engine: Engine) -> Iterator[Outcome]:
    """Yield what comes in, then do what was lost again, all that it needs sent anew."""
    left = dict.fromkeys(range(len(tasks)), "")
    for attempt in range(TRIES):
        if attempt and job.store is not None:
            job.store.sent.clear()
        with _folder() as folder:
            send = _sender(job, engine, folder if attempt == 0 or not is_dask(engine) else "")
            for number, result in _taken(send, {number: tasks[number] for number in left}, engine):
                if isinstance(result, _Lost):
                    left[number] = result.why
                else:
                    del left[number]
                    yield number, result
        if not left:
            return
    why = next(iter(left.values()))
    raise CrossMarginError(f"{len(left)} of {len(tasks)} shards were lost {TRIES} times. The first: {why}")


def _sender(job: _Job, engine: Engine, folder: str) -> Callable[[Any], Any]:
    """Return what submits a task: as it is to threads, with files to processes that see the folder, else by wire."""
    if isinstance(engine, cf.ThreadPoolExecutor):
        return lambda task: engine.submit(_done, job.work, job.store, job.shared, task)
    if folder and (not is_dask(engine) or seen_by_all(engine, folder)):
        return _by_file(job, engine, folder)
    return _by_wire(job, engine)


def _by_file(job: _Job, engine: Engine, folder: str) -> Callable[[Any], Any]:
    """Return what submits a task whose data lie in files."""
    common = job.published(folder)
    submit = partial(engine.submit, pure=False) if is_dask(engine) else engine.submit
    return lambda task: submit(_on_files, job.work, common, publish(task, folder))


def _by_wire(job: _Job, client: Any) -> Callable[[Any], Any]:
    """Return what submits a task whose data are sent to the workers."""
    _with_a_worker(client)
    common = job.scattered(client)
    return lambda task: client.submit(_done, job.work, *common, client.scatter([task], hash=False)[0], pure=False)


def _scattered(store: Store, client: Any) -> Any:
    """Return the future of P&L on a cluster, sent when it is first asked for and again where it changed or is lost."""
    for other in [each for each in list(store.sent) if getattr(each, "status", "") in _CLOSED]:
        store.sent.pop(other, None)
    digest = content(store)
    before, future = store.sent.get(client, ("", None))
    if before != digest or future.status != "finished":
        (future,) = client.scatter([evolve(store, made_of=None)], broadcast=True, hash=False)
        store.sent[client] = digest, future
    return future


def _on_files(work: Work, common: tuple[Handle | None, Handle], own: Handle) -> Any:
    kept, shared = common
    store = None if kept is None else fetch_kept(evolve(kept))  # a copy: what is mapped here must not keep the file
    return _done(work, store, fetch_once(shared), fetch(own))


def _done(work: Work, store: Store | None, shared: Any, task: Any) -> Any:
    return work(shared if store is None else (store, shared), task)


@frozen
class _Lost:
    """A task without a result for no fault of its own."""

    why: str


def _taken(send: Callable[[Any], Any], tasks: Mapping[int, Any], engine: Engine) -> Iterator[Outcome]:
    """Send tasks; yield number and result of each as they are done, its future let go of once it is taken."""
    futures: Futures = {}
    try:
        for number, task in tasks.items():
            futures[_sent(send, task)] = number
        for future, ask in _arriving(futures, engine):
            try:
                result = ask()
            except (CorruptShard, cf.CancelledError) as error:
                result = _Lost(str(error) or "its data went with a worker that died.")
            yield futures.pop(future), result
    except cf.BrokenExecutor as error:
        fix = "Give a new executor; most often a process dies for want of memory."
        raise CrossMarginError(f"a process of the executor died. {fix}") from error
    except Exception as error:
        if type(error).__name__ != "KilledWorker":
            raise
        fix = "Most often that is for want of memory: give workers more of it, or fewer threads each."
        raise CrossMarginError(f"workers died again and again at one shard. {fix}") from error
    finally:
        for future in futures:
            future.cancel()


def _sent(send: Callable[[Any], Any], task: Any) -> Any:
    try:
        return send(task)
    except RuntimeError as error:
        if "after shutdown" not in str(error):
            raise
        raise InputError([Problem(f"takes no tasks: {error}.", "engine", "Give one that is open.")]) from error


def _arriving(futures: Futures, engine: Engine) -> Iterator[tuple[Any, Callable[[], Any]]]:
    """Yield futures as they are done, each with what gives its result; what a cluster has done is fetched together."""
    if not is_dask(engine):
        yield from ((future, future.result) for future in cf.as_completed(list(futures)))
        return
    for done in _distributed().as_completed(list(futures)).batches():
        finished = [future for future in done if future.status == "finished"]
        try:
            known = dict(zip(finished, engine.gather(finished), strict=True))
        except Exception:  # noqa: BLE001 - one of them is lost or wrong: it tells by itself, below
            known = {}
        for future in done:
            yield future, partial(known.pop, future) if future in known else future.result


# ---------------------------------------------------------------------------------------------------- what is used


@contextmanager
def _folder() -> Iterator[str]:
    with TemporaryDirectory(prefix="crossmargin-", ignore_cleanup_errors=True) as folder:
        yield folder


def _with_a_worker(client: Any) -> None:
    """Wait a while for the first worker of a cluster; raise if none comes."""
    try:
        client.wait_for_workers(1, timeout=WORKER_WITHIN)
    except TimeoutError as error:
        fix = "Start workers and look whether they reach the scheduler, then run again."
        raise InputError([Problem(f"has no worker; none came in {WORKER_WITHIN} s.", "engine", fix)]) from error


@contextmanager
def _cluster(name: str) -> Iterator[Any]:
    """Yield a client of a cluster on this machine, a process for each core."""
    if name != "dask":
        raise InputError([Problem(f"unknown engine {name!r}.", "engine", suggestion(name, ("threads", "dask")))])
    with _distributed().Client(processes=True, threads_per_worker=1, dashboard_address=":0") as client:
        yield client


def _distributed() -> ModuleType:
    try:
        return import_module("distributed")
    except ImportError as error:
        fix = 'Install it with: pip install "crossmargin[distributed]"'
        raise InputError([Problem("Dask is not installed.", "engine", fix)]) from error


@contextmanager
def _told(count: int, *, progress: Progress | bool | None) -> Iterator[Callable[[int, str], None]]:
    """Yield what to tell of each task done."""
    if callable(progress):
        told = progress
        told(0, count, "")
        yield lambda done, name: told(done, count, name)
    elif progress is False or not count or not (progress or (sys.stderr and sys.stderr.isatty())):
        yield lambda _, __: None
    else:
        with _bar(count, wanted=bool(progress)) as bar:
            yield lambda _, __: bar.update()


def _bar(count: int, *, wanted: bool) -> Any:
    try:
        return import_module("tqdm").tqdm(total=count, delay=BAR_AFTER, unit="shard", leave=False)
    except ImportError as error:
        if not wanted:
            return nullcontext(SimpleNamespace(update=lambda: None))
        fix = 'Install it with: pip install "crossmargin[distributed]", or give a function.'
        raise InputError([Problem("tqdm is not installed.", "progress", fix)]) from error
