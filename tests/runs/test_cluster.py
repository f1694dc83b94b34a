"""Training on a cluster by Dask: real schedulers, real worker processes, each with a folder of its own."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch

from benchmarks import clusters
from bumplab.runs.cluster import connection, engine, options, submissions
from bumplab.runs.cluster.options import ClusterOptions, NoCluster
from bumplab.runs.planner import OutOfTime
from bumplab.runs.store import RunStore
from tests.runs.farm import (
    ROOT,
    SMOKE,
    Farm,
    dies_of,
    fails,
    hoards,
    noted,
    planted,
    planted_once,
    planted_third,
    record_of,
    session,
    specs,
    steps,
    trained,
    until,
)

pytestmark = pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed (extra dask)")


@pytest.fixture(scope="module")
def farm(tmp_path_factory):
    """Four workers, which come back when they are killed."""
    with Farm(tmp_path_factory.mktemp("farm") / "four") as farm:
        for number in range(4):
            farm.add(f"w{number}")
        yield farm


@pytest.fixture
def own_farm(tmp_path):
    """A scheduler without workers."""
    with Farm(tmp_path / "farm") as farm:
        yield farm


def rows(records):
    return [(record.spec.seed, record.rows) for record in records]


def as_planted(asked):
    return [(spec.seed, record_of(spec).rows) for spec in asked]


def killed_at_random(cluster, done):
    """Kills a worker of the cluster now and then. Returns the number of kills.

    Dask and the session together give a run up after its 12th death. On a slow machine one run could die so often.
    """
    chance, kills = random.Random(0), 0
    while kills < 10 and not done.wait(chance.uniform(0.2, 1.0)):
        try:
            pids = cluster.out.client.run(os.getpid, on_error="ignore")
            os.kill(pids[chance.choice(sorted(pids))], 9)
        except (OSError, IndexError):  # it has just died, or none has come back yet
            continue
        kills += 1
    return kills


def test_runs_come_home_once_where_workers_are_killed(farm, tmp_path):
    """The others take over. What has come home is not trained again, though its worker dies later."""
    asked, log, done, kills = specs(16), tmp_path / "log", threading.Event(), []
    with session(tmp_path / "runs", farm.address, planted(log, 0.3)) as cluster:
        killer = threading.Thread(target=lambda: kills.append(killed_at_random(cluster, done)))
        killer.start()
        try:
            records = cluster.obtain(asked)
        finally:
            done.set()
            killer.join()
        assert rows(records) == as_planted(asked)
    ends = [seed for seed, _ in noted(log, "ends")]
    assert set(ends) == {spec.seed for spec in asked}
    assert len(ends) <= len(asked) + kills[0], "beside those that a kill hit on their way home, each once"
    assert kills[0] > 2
    assert not list((tmp_path / "runs").glob("progress/*.json"))


def test_workers_hold_no_store_unless_they_see_that_of_the_session(farm, tmp_path):
    """A worker that sees it trains there, where the next one finds the checkpoints."""
    for shares in (False, True):
        root, log = tmp_path / f"runs-{shares}", tmp_path / f"log-{shares}"
        with session(root, farm.address, planted(log), shares=shares) as cluster:
            assert rows(cluster.obtain(specs(2))) == as_planted(specs(2))
        roots = {line.split("\t")[0] for line in log.read_text().splitlines()} - {"begins", "ends"}
        assert (roots == {str(root)}) == shares
        assert not any(os.path.exists(folder) for folder in roots - {str(root)}), "workers clean up"


def test_a_run_that_somebody_waits_for_comes_before_those_of_later_looks(own_farm, tmp_path):
    """The later ones have the lowest seed, so that seeds alone do not set them apart."""
    own_farm.add("w0")
    asked, log = [SMOKE.run(0, sigma=sigma) for sigma in (0.5, 0.6, 0.7, 0.8)] + [SMOKE.run(1000)], tmp_path / "log"
    with session(tmp_path / "runs", own_farm.address, planted(log, 0.3)) as cluster:
        cluster.board.expect("a question", asked)
        until(lambda: noted(log, "begins"))
        cluster.obtain(asked[-1:])
        cluster.obtain(asked)
    assert [seed for seed, _ in noted(log, "begins")].index(1000) <= 2, "two may have begun"


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint_where_workers_see_the_store(farm, tmp_path):
    """A real run. Its trainer is killed after a checkpoint in the middle, which the next worker takes up."""
    (spec,), log = specs(1), tmp_path / "log"
    spec = replace(spec, training=replace(spec.training, steps=60), measure=replace(spec.measure, every=20))
    with session(tmp_path / "runs", farm.address, trained(log), shares=True) as cluster:
        cluster.ask([spec])
        until(lambda: list((tmp_path / "runs").glob("partial/*/000000020/manifest.json")))
        os.kill(steps(log)[-1][0], 9)
        (record,) = cluster.obtain([spec])
    (first, *_), (other, *_) = steps(log)[0], steps(log)[-1]
    assert first != other
    assert min(step for trainer, step in steps(log) if trainer == other) in (21, 41)
    assert len(record.rows) == len(spec.measured_steps())


@pytest.fixture
def slow_and_fast(own_farm, tmp_path, monkeypatch):
    """Begins a session of two workers. A run takes the worker "slow" so many seconds, and soon goes to "fast" too."""

    @contextlib.contextmanager
    def begin(train, seconds):
        monkeypatch.setattr(engine, "SHORT", 0.5)
        own_farm.add("slow", SLOW=str(seconds))
        own_farm.add("fast")
        with session(tmp_path / "runs", own_farm.address, train) as cluster:
            until(lambda: len(cluster.workers) == 2)
            yield cluster

    return begin


@pytest.mark.slow
def test_the_first_to_come_home_wins_over_a_slow_worker(slow_and_fast, tmp_path):
    asked, log = specs(5), tmp_path / "log"
    with slow_and_fast(planted(log, 0.2), 60) as cluster:
        assert rows(cluster.obtain(asked)) == as_planted(asked)
    (seed,) = (seed for seed, name in noted(log, "begins") if name == "slow")
    assert (seed, "fast") in noted(log, "ends")
    assert "slow" not in {name for _, name in noted(log, "ends")}


@pytest.mark.slow
def test_a_run_whose_second_worker_fails_is_still_that_of_the_first(slow_and_fast, tmp_path):
    asked, log = specs(5), tmp_path / "log"
    with slow_and_fast(planted_once(log, 0.2), 6) as cluster:
        assert rows(cluster.obtain(asked)) == as_planted(asked)
    assert noted(log, "fails"), "no run was given to a second worker"


@pytest.mark.slow
def test_a_run_whose_second_worker_dies_before_its_first_one_fails_goes_to_any_other(slow_and_fast, tmp_path):
    asked, log = specs(5), tmp_path / "log"
    with slow_and_fast(planted_third(log, 0.2), 6) as cluster:
        cluster.ask(asked)
        until(lambda: all(map(cluster.store.has, asked)))
    names = [name for seed, name in noted(log, "begins")]
    assert len(names) == len(asked) + 2, "no worker failed after another had died"


def test_a_killed_scheduler_is_one_line_and_what_is_home_is_kept(own_farm, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT", 2.0)
    own_farm.add("w0")
    asked, log = specs(3), tmp_path / "log"
    with session(tmp_path / "runs", own_farm.address, planted(log, 1.0)) as cluster:
        cluster.ask(asked)
        until(lambda: noted(log, "ends"))
        until(lambda: any(map(cluster.store.has, asked)))
        own_farm.scheduler.kill()
        with pytest.raises(OSError, match="connection to the scheduler is lost") as error:
            cluster.obtain(asked)
        assert "1 of 3 runs came home" in str(error.value)
    assert "\n" not in str(error.value)
    assert [RunStore(tmp_path / "runs").has(spec) for spec in asked].count(True) == 1


def test_a_run_whose_workers_all_die_and_one_that_fails_are_one_line_each(farm, tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_SUBMISSIONS", 1)
    for train, words in ((dies_of, "died 4 times"), (fails, "RuntimeError: CUDA error:")):
        with session(tmp_path / train.__name__, farm.address, train) as cluster:
            with pytest.raises(OSError, match=words) as error:
                cluster.obtain(specs(1))
            assert "\n" not in str(error.value)
            assert cluster.store.load(specs(1)[0]) is None


def test_a_worker_without_the_device_is_sent_home_and_fails_no_run_of_others(own_farm, tmp_path):
    """No worker here has a GPU: so in the end none is left, and the line says why."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    own_farm.add("w0")
    with (
        pytest.warns(UserWarning, match="torch finds no GPU there.*sent home"),
        session(tmp_path / "runs", own_farm.address, planted(tmp_path / "log"), wait=10.0, gpu=True) as cluster,
        pytest.raises(OSError, match="torch finds no GPU"),
    ):
        cluster.obtain(specs(1))
    assert not (tmp_path / "log").exists()


def test_a_place_that_cannot_be_read_is_an_error_and_nobody_waits_for_ever(farm, tmp_path):
    class Gone:
        def has(self, spec):
            raise OSError("the disk is gone")

    with (
        session(tmp_path / "runs", farm.address, planted(tmp_path / "log"), also_runs=[Gone()]) as cluster,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        cluster.obtain(specs(2))


@pytest.mark.slow
def test_a_worker_whose_memory_runs_out_is_one_line(own_farm, tmp_path, monkeypatch):
    """Dask's nanny kills the worker at 95 % of its limit, each time."""
    monkeypatch.setattr(submissions, "MOST_SUBMISSIONS", 1)
    own_farm.add("w0", "--memory-limit", "900MB")
    with (
        session(tmp_path / "runs", own_farm.address, hoards) as cluster,
        pytest.raises(OSError, match="died 4 times at it: too little memory") as error,
    ):
        cluster.obtain(specs(1))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_run_behind_a_cut_link_is_given_to_another_worker(tmp_path):
    """Each worker in a network namespace of its own. A cut link closes no connection."""
    with clusters.networks(3) as network:
        if not network:
            pytest.skip("network namespaces need root and the command ip")
        with Farm(tmp_path / "farm", **network) as farm:
            for number in range(1, 4):
                farm.add(f"w{number}")
            asked, log = specs(9), tmp_path / "log"
            with session(tmp_path / "runs", farm.address, planted(log, 2.0)) as cluster:
                until(lambda: len(cluster.workers) == 3)
                cluster.ask(asked)
                until(lambda: len(noted(log, "ends")) >= 3 and len(noted(log, "begins")) > len(noted(log, "ends")))
                (cut,) = (seed for seed, name in noted(log, "begins")[-1:] if name)
                name = dict(noted(log, "begins"))[cut]
                subprocess.run(["ip", "link", "set", name.replace("w", "bumplab-"), "down"], check=True)
                assert rows(cluster.obtain(asked)) == as_planted(asked)
    assert len({worker for seed, worker in noted(log, "begins") if seed == cut}) == 2


def of_other_code(folder):
    """A copy of the package with one more line."""
    shutil.copytree(ROOT / "bumplab", folder / "bumplab", ignore=shutil.ignore_patterns("__pycache__"))
    with open(folder / "bumplab" / "randomness.py", "a") as file:
        file.write("# changed\n")
    return str(folder)


@pytest.mark.slow
def test_a_worker_that_differs_is_refused_and_one_that_joins_later_is_sent_home(own_farm, tmp_path):
    other, log = of_other_code(tmp_path / "other"), tmp_path / "log"
    own_farm.add("other", nanny=False, FIRST_PATH=other)
    with (
        pytest.raises(NoCluster, match=r"worker tcp://.* has bumplab .*, and this session has bumplab ") as error,
        session(tmp_path / "runs", own_farm.address, planted(log)),
    ):
        pass
    assert "\n" not in str(error.value)
    own_farm.workers["other"].kill()
    own_farm.add("w0")
    with session(tmp_path / "runs", own_farm.address, planted(log, 0.5)) as cluster:
        cluster.ask(specs(12))
        own_farm.add("later", nanny=False, FIRST_PATH=other)
        with pytest.warns(UserWarning, match="it is sent home"):
            own_farm.workers["later"].wait(60)
        assert rows(cluster.obtain(specs(12))) == as_planted(specs(12))
    assert {name for _, name in noted(log, "begins")} == {"w0"}


def test_a_worker_of_two_threads_is_refused(own_farm, tmp_path):
    own_farm.add("w0", threads=2)
    with pytest.raises(NoCluster, match="has 2 threads"), session(tmp_path / "runs", own_farm.address):
        pass


OLD = """
import importlib.metadata as installed
version = installed.version
installed.version = lambda name: "2025.1.0" if name == "distributed" else version(name)
"""


def test_a_worker_of_another_version_of_dask_is_named_with_both(own_farm, tmp_path):
    """A real worker that tells another version. Dask lets it join, and its runs would never begin."""
    import distributed

    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "sitecustomize.py").write_text(OLD)
    own_farm.add("old", nanny=False, FIRST_PATH=str(tmp_path / "old"))
    both = rf"worker tcp://.* has distributed 2025\.1\.0, and this session has {distributed.__version__}"
    with pytest.raises(NoCluster, match=both), session(tmp_path / "runs", own_farm.address):
        pass


def ask_and_end(cluster, asked):
    """A claim that waits for its runs. It ends with the session."""
    with contextlib.suppress(OSError):
        cluster.obtain(asked)


def test_an_interrupted_session_keeps_what_has_begun_and_cancels_the_rest(farm, tmp_path):
    asked, log, lines = specs(12), tmp_path / "log", []
    with session(tmp_path / "runs", farm.address, planted(log, 1.5)) as cluster:
        until(lambda: len(cluster.workers) == 4)
        cluster.say = lines.append
        claims = [threading.Thread(target=ask_and_end, args=(cluster, [spec])) for spec in asked]
        for claim in claims:
            claim.start()
        until(lambda: len(cluster.out.runs) == 12)
        until(lambda: sum(bool(run.worker) for run in cluster.out.runs.values()) == 4)
        cluster.close(keeps=True)
    begun = {seed for seed, _ in noted(log, "begins")}
    assert {spec.seed for spec in asked if RunStore(tmp_path / "runs").has(spec)} == begun
    assert len(begun) == 4
    assert lines[0].startswith("4 runs have begun, 8 are cancelled")


@pytest.mark.slow
def test_a_cancelled_run_stops_after_a_step(farm, tmp_path):
    """A real run of a million steps. Dask cancels no thread: this looks at the worker's own, undocumented state."""
    (spec,) = specs(1)
    spec = replace(spec, training=replace(spec.training, steps=10**6), measure=replace(spec.measure, every=10**6))
    root = tmp_path / "runs"
    with session(root, farm.address, shares=True) as cluster:
        cluster.ask([spec])
        until(lambda: any(cluster.out.runs[spec].worker for _ in "1"))
        until(lambda: list(root.glob("partial/*")))
        cluster.out.settle(cluster.out.runs[spec], "withdrawn")
        until(lambda: lock_is_free(cluster.store, spec))


def lock_is_free(store, spec):
    from filelock import Timeout

    from bumplab.runs.store import run_key

    try:
        with store.lock(run_key(spec)):
            return True
    except Timeout:
        return False


def test_a_deadline_withdraws_what_it_leaves_no_time_for(farm, tmp_path):
    log = tmp_path / "log"
    with session(tmp_path / "runs", farm.address, planted(log, 0.5), minutes=1) as cluster:
        cluster.deadline.ends = time.time() + 4
        with pytest.raises(OutOfTime) as error:
            cluster.obtain(specs(60))
        stored = [spec for spec in specs(60) if cluster.store.has(spec)]
    assert stored
    assert set(error.value.missing) == set(specs(60)) - set(stored)


def test_addresses_that_cannot_be_used_are_one_line_each(own_farm, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as closed:
        port, free = silent.getsockname()[1], closed.getsockname()[1]
        closed.close()
        for name, words in (
            ("local:0", "must be local:1 to local:1024"),
            ("local:", "must be local:1"),
            ("local:1000000", "must be local:1"),
            ("my scheduler", "is no address"),
            ("", "is no address"),
            ("nobody", "is no address"),
            (f"127.0.0.1:{free}", "no scheduler can be reached there"),
            (f"127.0.0.1:{port}", "says nothing"),
            (own_farm.address, "no worker came in 1 s"),
        ):
            with pytest.raises(NoCluster, match=words) as error:
                connection.connect(ClusterOptions(name, wait=1), {})
            assert "\n" not in str(error.value), name
            assert name in str(error.value), name


def test_without_dask_the_line_names_the_command(monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(NoCluster, match="pip install"):
        ClusterOptions("local:2").require_possible()
