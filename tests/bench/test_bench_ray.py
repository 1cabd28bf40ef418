"""A Ray cluster of two workers on this machine, one of which is killed: the rows are those of a local run."""

import os
import subprocess
import sys

import benches
import pytest
import small

ray = pytest.importorskip("ray")

pytestmark = pytest.mark.slow
STORE = 80 * 2**20  # bytes of shared memory of a node, near the least that Ray takes
TRIES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield small.images(folder / "tiny.npz")


@pytest.fixture
def cluster(data):
    """A head that works on nothing, and two workers with a processor each."""
    found = head()
    try:
        workers = [node(found) for _ in range(2)]
        found.wait_for_nodes()
        yield found, workers
    finally:
        found.shutdown()


def head():
    """The head of a new cluster."""
    from ray.cluster_utils import Cluster

    def start():
        return Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE},
        )

    return patiently(start)


def node(cluster):
    """A new worker of a cluster."""
    return patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=STORE))


def patiently(start):
    """Calls `start` again where a busy machine starts a node later than the 15 seconds that Ray waits for it."""
    for number in range(1, TRIES + 1):
        try:
            return start()
        except Exception:
            if number == TRIES:
                raise


def words(data, out, *more):
    """The tiny matrix, each run long enough to be killed in the middle of."""
    return [word if word != "6" else "600" for word in benches.words(data, out, *more)]


def under_way(bench):
    """How many cells train and have no row yet.

    Of two workers with a processor each, both are at work when these are two.
    """
    return len(list(bench.glob("runs/*/metrics.jsonl"))) - len(list(bench.glob("cells/*.json")))


def test_a_worker_killed_in_the_middle_changes_no_row(data, cluster, tmp_path):
    local = small.ganzoo(*words(data, tmp_path / "local"), cwd=tmp_path)  # no fork: this process has Ray's threads
    assert local.returncode == 0, local.stderr
    found, (doomed, _) = cluster
    command = [sys.executable, "-m", "ganzoo", *words(data, tmp_path / "bench", "--ray", found.address)]
    with subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        benches.until(lambda: under_way(tmp_path / "bench") == 2 or process.poll() is not None, seconds=300)
        assert process.poll() is None, process.stderr.read()
        found.remove_node(doomed, allow_graceful=False)
        errors = process.communicate(timeout=600)[1]
    assert process.returncode == 0, errors
    assert benches.timeless(tmp_path / "bench") == benches.timeless(tmp_path / "local")
