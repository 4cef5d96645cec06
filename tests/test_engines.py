"""Engines, shards and files: the same bits wherever, however cut, and whatever breaks on the way."""

from __future__ import annotations

import concurrent.futures as cf
import errno
import gc
import io
import os
import pickle
import signal
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.batch import engines, mapped, margin_many, shards, spill
from crossmargin.batch.engines import opened, run, workers
from crossmargin.batch.mapped import CorruptShard, fetch, kept_file, publish, written_whole
from crossmargin.batch.shards import cuts, pool_tails_on, shards_for
from crossmargin.batch.spill import cut_positions, margin_to_files
from crossmargin.errors import CrossMarginError, InputError, Problem
from crossmargin.pricing.many_pools import pool_tails, sorted_positions
from tests.engine_doubles import (
    N_ACCOUNTS,
    N_INSTRUMENTS,
    N_SILOS,
    TAILS,
    Inline,
    Mapping,
    book,
    damaged,
    double,
    expected,
    fresh,
    planned,
    whole,
)


def called_off(_shared, _task):
    raise cf.CancelledError


def fails(*_):
    raise RuntimeError("of the work")


def summed(shared, task):
    store, times = shared
    return float(store.values[task].sum()) * times


def refused(_shared, task):
    raise InputError([Problem(f"task {task} is wrong.", "here")])


# ------------------------------------------------------------------------------------------------------- same bits


@given(st.integers(1, 60), st.sampled_from([1, 2]), st.sampled_from(["here", "threads", "files", "map"]))
@settings(max_examples=20, deadline=None)
def test_neither_cuts_nor_threads_nor_engines_change_a_bit(count, threads, name):
    with cf.ThreadPoolExecutor(2) as pool:
        engine = {"here": None, "threads": pool, "files": Inline(), "map": Mapping()}[name]
        found = pool_tails_on(engine, *book(), TAILS, threads=threads, shards=count, progress=False)
    assert found.tobytes() == expected().tobytes()


@given(st.integers(1, 100), st.integers(0, 3))
def test_cuts_cover_every_account_once(count, seed):
    found = cuts(book(seed=seed)[1], count)
    assert found[0] == 0
    assert found[-1] == N_ACCOUNTS
    assert len(found) <= count + 1
    assert all(first < last for first, last in pairwise(found))


def test_a_great_account_stands_alone():
    _, held = book()
    sizes = np.diff(held.starts[:: held.n_silos])
    assert sizes[0] == sizes.max() > 60
    assert cuts(held, 6)[:2] == [0, 1]


def test_few_accounts_or_none():
    store, _ = book()
    for n_accounts in (0, 1, 2):
        rows = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros(0)
        held = sorted_positions(*rows, shape=(n_accounts, N_SILOS, N_INSTRUMENTS))
        assert pool_tails_on(Inline(), store, held, TAILS).shape == (n_accounts, 3, 2)


def test_a_sample_says_how_many_shards():
    assert pool_tails_on(Inline(), *book(), TAILS).tobytes() == expected().tobytes()


@given(st.floats(0.0, 1e5), st.integers(1, 1_000))
def test_shards_are_long_and_equal_in_number(seconds, count):
    found = shards_for(seconds, count)
    assert found >= 1
    assert found <= max(1, seconds / shards.SHARD_SECONDS)
    assert found <= count or found % count == 0


def test_results_come_in_the_order_of_tasks():
    def last_first(futures):
        return reversed(list(futures))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines.cf, "as_completed", last_first)
        assert run(double, 2, range(5), engine=Inline()) == [0, 2, 4, 6, 8]
    assert run(double, 2, []) == run(double, 2, [], engine=Inline()) == run(double, 2, [], engine=Mapping()) == []


def test_a_batch_on_an_engine_is_the_batch():
    made, pnl, positions = planned()
    told = []
    many = margin_many(positions, pnl, made, engine=Inline(), progress=lambda *about: told.append(about))
    assert many.digest() == whole().digest()
    assert many.tails.tobytes() == whole().tails.tobytes()
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]
    assert "accounts 0 to" in told[-1][2]


# ------------------------------------------------------------------------------------------------- published files


def test_arrays_are_mapped_and_what_a_reader_writes_is_its_own(tmp_path):
    value = {"a": np.arange(10_000.0), "b": [np.ones((3, 4), dtype=np.float32, order="F"), "text"], "c": np.empty(0)}
    handle = publish(value, tmp_path)
    first, second = fetch(handle), fetch(handle)
    first["a"][:] = 0.0
    assert second["a"].tolist() == value["a"].tolist()
    assert second["b"][0].tolist() == value["b"][0].tolist()
    assert second["b"][0].ctypes.data % 64 == 0
    assert fetch(publish(None, tmp_path)) is None


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_a_damaged_file_is_noticed(tmp_path, harm):
    handle = publish((np.arange(5_000.0), "text"), tmp_path)
    path = Path(handle.path)
    damaged(path, harm)
    with pytest.raises(CorruptShard, match=path.name):
        fetch(handle)


@given(st.binary(min_size=1, max_size=9_000), st.data())
def test_any_changed_byte_changes_the_checksum(raw, data):
    at, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    other = bytearray(raw)
    other[at] ^= 1 << bit
    assert mapped.checksum(raw) != mapped.checksum(other)
    assert mapped.checksum(raw) == mapped.checksum(bytes(raw))


@given(*[st.sampled_from([0.0, 1.0, -1.0, 2.5, 1e9])] * 2, *[st.integers(0, 511)] * 2, st.sampled_from(["f4", "f8"]))
def test_numbers_that_change_places_change_the_checksum(first, second, one, other, kind):
    numbers = np.ones((2, mapped._PAGE // np.dtype(kind).itemsize), kind)
    numbers[:, [one, other]] = [[first, second], [second, first]]  # every sum is the same if they change places
    turned = numbers[::-1].copy()
    same = numbers.tobytes() == turned.tobytes()
    assert (mapped.checksum(numbers) == mapped.checksum(turned)) == same


def test_what_cannot_be_sent_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be sent"):
        publish(lambda: None, tmp_path)
    assert not list(tmp_path.iterdir())


# ----------------------------------------------------------------------------------------------------------- faults


def test_a_damaged_shard_is_sent_again():
    def breaks(number, _work, _common, own):
        if number == 2:
            damaged(Path(own.path), "flip")

    engine = Inline(breaks)
    assert run(double, 3, range(4), engine=engine) == [0, 3, 6, 9]
    assert engine.submitted == 5


def test_what_went_with_a_worker_is_done_again():
    def breaks(number, *_):
        if number in {0, 3}:
            raise cf.CancelledError

    engine = Inline(breaks)
    assert run(double, 3, range(4), engine=engine) == [0, 3, 6, 9]
    assert engine.submitted == 6


def test_shards_lost_for_good_are_named():
    def breaks(_number, _work, _common, own):
        damaged(Path(own.path), "cut")

    engine = Inline(breaks)
    with pytest.raises(CrossMarginError, match="2 of 2 shards were lost 3 times"):
        run(double, 3, range(2), engine=engine)


def test_threads_that_are_called_off_give_no_result():
    with cf.ThreadPoolExecutor(1) as pool, pytest.raises(CrossMarginError, match="lost 3 times"):
        run(called_off, 1, range(2), engine=pool)


@pytest.mark.parametrize("engine", [None, Inline(), Mapping()], ids=["here", "files", "map"])
def test_an_error_of_the_work_comes_through_whole(engine):
    with pytest.raises(InputError) as wrong:
        run(refused, None, range(3), engine=engine)
    assert wrong.value.problems in {(Problem(f"task {n} is wrong.", "here"),) for n in range(3)}


def test_a_dead_process_is_explained():
    def breaks(*_):
        raise cf.BrokenExecutor("died")

    with pytest.raises(CrossMarginError, match="a process of the executor died"):
        run(double, 3, range(2), engine=Inline(breaks))


def test_engines_that_are_closed_are_refused():
    for pool in (cf.ThreadPoolExecutor(1), cf.ProcessPoolExecutor(1)):
        pool.shutdown()
        with pytest.raises(InputError, match="engine: takes no tasks: cannot schedule new futures after shutdown"):
            run(double, 3, range(2), engine=pool)
    with pytest.raises(InputError, match="SimpleNamespace is closed"):
        run(double, 3, range(2), engine=SimpleNamespace(map=map, _state="CLOSE"))
    gone = type("Client", (), {"__module__": "distributed.client", "status": "closed", "submit": 0, "scatter": 0})()
    with pytest.raises(InputError, match="Client is closed"):
        run(double, 3, range(2), engine=gone)


def test_a_pool_that_died_before_is_explained():
    def dead(*_):
        raise cf.BrokenExecutor("terminated abruptly")

    with pytest.raises(CrossMarginError, match=r"a process of the executor died\. Give a new executor"):
        run(double, 3, range(2), engine=SimpleNamespace(submit=dead))
    with pytest.raises(RuntimeError, match="of the work"):
        run(double, 3, range(2), engine=Inline(fails))


def test_a_cluster_without_workers_is_refused():
    def none_came(count, timeout):
        raise TimeoutError(f"0 of {count} in {timeout} s")

    client = type("Client", (), {"__module__": "distributed.client", "submit": 0, "scatter": 0})()
    client.wait_for_workers = none_came
    with pytest.raises(InputError, match="engine: has no worker; none came in 30 s"):
        run(double, 3, range(2), engine=client)


def test_workers_that_keep_dying_are_explained():
    def breaks(*_):
        raise type("KilledWorker", (Exception,), {})

    with pytest.raises(CrossMarginError, match="workers died again and again"):
        run(double, 3, range(2), engine=Inline(breaks))


def test_a_full_disk_is_said_and_nothing_stays(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, raw):
            if len(raw) > 1_000:
                super().write(raw[:10])
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(raw)

    def full(path, mode):
        return Full(path, mode)

    monkeypatch.setattr(mapped.Path, "open", full)
    monkeypatch.setattr(mapped, "mkdtemp", partial(tempfile.mkdtemp, dir=tmp_path))
    store, _ = fresh()
    for make in (partial(publish, np.zeros(10_000), tmp_path), partial(kept_file, store)):
        with pytest.raises(CrossMarginError, match=r"No space left on device.*Make room"):
            make()
        assert not list(tmp_path.iterdir())
    assert not store.sent


def test_what_cannot_be_written_is_said_though_nothing_can_be_removed(tmp_path):
    with (
        pytest.raises(CrossMarginError, match=r"gone.*cannot be written.*No such file"),
        written_whole(tmp_path / "gone" / "file") as part,
    ):
        part.write_text("")
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CrossMarginError, match=r"cannot be written.*Not a directory.*another folder"),
        written_whole(tmp_path / "file" / "file") as part,
    ):
        part.write_text("")


# ---------------------------------------------------------------------------------------------- engines by name


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("dusk", "Did you mean 'dask'"),
        (42, "int is no engine"),
        (
            type("Client", (), {"__module__": "distributed.client", "asynchronous": True, "submit": 0, "scatter": 0})(),
            "as",
        ),
    ],
)
def test_what_is_no_engine_is_refused(engine, says):
    with pytest.raises(InputError, match=says), opened(engine):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(engines, "import_module", absent)
    with pytest.raises(InputError, match=r"pip install .crossmargin\[distributed\]"):
        run(double, 1, range(2), engine="dask")
    with pytest.raises(InputError, match="tqdm is not installed"):
        run(double, 1, range(2), progress=True)
    monkeypatch.setattr(engines.sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert run(double, 1, range(2)) == [0, 1]


def test_a_cluster_by_name_lives_for_the_call(monkeypatch):
    closed = []

    @contextmanager
    def client(**_):
        yield Inline()
        closed.append(True)

    monkeypatch.setattr(engines, "import_module", lambda _: SimpleNamespace(Client=client))
    assert run(double, 2, range(3), engine="dask", progress=False) == [0, 2, 4]
    assert closed == [True]
    assert run(double, 2, range(3), engine="threads") == [0, 2, 4]


def test_a_bar_is_drawn_where_it_can_be(monkeypatch):
    drawn = []

    class Bar:
        def __init__(self, **settings):
            drawn.append(settings["total"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            drawn.append("closed")

        def update(self):
            drawn.append(1)

    monkeypatch.setattr(engines, "import_module", lambda _: SimpleNamespace(tqdm=Bar))
    run(double, 1, range(2), progress=True)
    assert drawn == [2, 1, 1, "closed"]
    run(double, 1, range(2), progress=False)
    assert len(drawn) == 4


def test_how_many_tasks_at_a_time():
    assert workers(None) == 1
    with cf.ThreadPoolExecutor(3) as pool:
        assert workers(pool) == 3
    assert workers(SimpleNamespace(_processes=5)) == 5
    assert workers(SimpleNamespace()) >= 1


def test_an_error_with_problems_travels():
    error = InputError([Problem("a", "b", "c")], "title")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (again.problems, again.title, str(again)) == (error.problems, error.title, str(error))


# ------------------------------------------------------------------------------------------------------------- Dask


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made:
        yield made


def test_a_cluster_gives_the_same_bits(client, tmp_path, monkeypatch):
    made, pnl, positions = planned()
    assert workers(client) == 2
    assert margin_many(positions, pnl, made, engine=client).digest() == whole().digest()
    for count in (1, 2, 7):
        assert pool_tails_on(client, *book(), TAILS, shards=count).tobytes() == expected().tobytes()
    assert client.submit(type(made).digest, made).result() == made.digest(), "the same in every process"
    found = margin_to_files(cut_positions(positions, 3), pnl, made, tmp_path, engine=client)
    assert found.column("siloed.clearing.total").tobytes() == whole().total("siloed").tobytes()
    monkeypatch.setattr(engines, "seen_by_all", lambda *_: False)
    monkeypatch.setattr(spill, "seen_by_all", lambda *_: False)
    with pytest.raises(InputError, match="not seen by every worker"):
        margin_to_files(cut_positions(positions, 3), pnl, made, tmp_path, engine=client)
    assert pool_tails_on(client, *book(), TAILS, shards=3).tobytes() == expected().tobytes()


def soon(happens, seconds=120.0):
    """Return whether it happens before the seconds are over."""
    until = time.monotonic() + seconds
    while not happens() and time.monotonic() < until:
        time.sleep(0.01)
    return happens()


@pytest.mark.parametrize("way", ["file", "wire"])
def test_a_cluster_gets_pnl_once_and_gives_it_back(client, monkeypatch, way):
    (store, held), sent, scatter = fresh(), [], client.scatter

    def told(values, **settings):
        sent.extend((type(each).__name__, settings.get("broadcast", False)) for each in values)
        return scatter(values, **settings)

    if way == "wire":
        monkeypatch.setattr(engines, "seen_by_all", lambda *_: False)
        monkeypatch.setattr(client, "scatter", told)
    for _ in range(3):
        assert pool_tails_on(client, store, held, TAILS, shards=2).tobytes() == expected().tobytes()
    assert sent.count(("Store", True)) == (way == "wire")
    store.values[:, :7] += 1.0
    found = pool_tails_on(client, store, held, TAILS, shards=2)
    assert found.tobytes() == pool_tails(store, held, TAILS).tobytes()
    assert sent.count(("Store", True)) == 2 * (way == "wire")
    if way == "file":
        return
    _, future = store.sent[client]
    client.cancel([future])  # as if all who had it were gone
    assert pool_tails_on(client, store, held, TAILS, shards=2).tobytes() == found.tobytes()
    key = store.sent[client][1].key
    del store, future
    gc.collect()
    assert soon(lambda: key not in client.who_has())


def test_a_client_that_is_closed_or_without_workers(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr(engines, "WORKER_WITHIN", 0.1)
    quiet = {"n_workers": 0, "dashboard_address": ":0", "processes": False}
    with distributed.Client(**quiet) as alone, pytest.raises(InputError, match="has no worker"):
        run(double, 2, range(2), engine=alone)
    with pytest.raises(InputError, match="Client is closed"):
        run(double, 2, range(2), engine=alone)


@pytest.mark.parametrize("way", ["file", "wire"])
def test_a_worker_killed_in_the_middle_changes_nothing(client, monkeypatch, way):
    if way == "wire":
        monkeypatch.setattr(engines, "seen_by_all", lambda *_: False)
    store, _ = fresh()
    sums = [float(row.sum()) for row in store.values[:8]]
    assert run(summed, 1.0, range(8), store=store, engine=client) == sums
    victims, left = list(client.run(os.getpid).values()), []

    def slow(shared, task):  # nested, so that it travels with its code
        time.sleep(0.2)
        return shared * task

    def kill(done, of, _name):
        if done == 2:
            os.kill(victims[0], signal.SIGKILL)
            left.append(of - done)

    assert run(slow, 2, range(7), engine=client, progress=kill) == [0, 2, 4, 6, 8, 10, 12]
    assert left[0] == 5
    client.wait_for_workers(2, timeout=300)  # the process in its place has nothing yet
    assert run(summed, 1.0, range(8), store=store, engine=client) == sums
