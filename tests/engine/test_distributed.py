"""Two processes over gloo give what one gives with the whole batch: gradients, buffers, terms, and parameters."""

import os
import subprocess
import sys

import pytest
import small
import torch
from contract import worker
from paths import TESTS
from safetensors.torch import load_file

from ganzoo.engine.distributed import Processes, join


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The records of two processes for every case, started with torchrun's environment and a store like its own."""
    folder = tmp_path_factory.mktemp("two")
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    command = [str(TESTS / "contract" / "worker.py"), str(folder)]
    running = [start(rank, store.port, command) for rank in (0, 1)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(outputs)[-4000:]
    return {case: [load_file(folder / f"{case}-{rank}.safetensors") for rank in (0, 1)] for case in worker.CASES}


def start(rank: int, port: int, arguments: list[str]) -> subprocess.Popen:
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    return subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture(scope="module")
def one():
    """What one process sees with the whole batch."""
    return {case: worker.watch(case, Processes()) for case in worker.EXACT}


@pytest.mark.parametrize("case", worker.EXACT)
@pytest.mark.parametrize("kind", ["gradient", "term", "buffer", "generator", "generator_ema", "discriminator"])
def test_two_processes_are_one_with_the_whole_batch(one, two, case, kind):
    expected = {name: tensor for name, tensor in one[case].items() if name.partition(".")[0] == kind}
    assert expected or kind == "buffer"
    for rank in two[case]:
        assert {name for name in rank if name.partition(".")[0] == kind} == set(expected)
        for name, tensor in expected.items():
            torch.testing.assert_close(
                rank[name], tensor, rtol=0, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
            )


@pytest.mark.parametrize("case", worker.CASES)
def test_both_processes_hold_the_same(two, case):
    first, second = two[case]
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_each_part_is_put_to_the_test(one, two):
    """Guards against a comparison of nothing: what each case is there for does occur, and moves."""
    critic_gradients = {name for name in one["wgan-gp"] if name.startswith("gradient.discriminator.")}
    assert len({name.split(".")[2] for name in critic_gradients}) == 5 * worker.STEPS
    assert one["wgan-gp"]["buffer.2.anchor.mean"] != 0
    assert one["began"]["buffer.2.k"] != 0.25
    assert any(name.endswith("codes.weight") for name in one["infogan"] if name.startswith("gradient.discriminator."))
    assert two["dcgan"][0]["generator.main.2.running_mean"].abs().max() > 0
    assert torch.equal(
        two["dcgan"][0]["generator_ema.main.2.running_var"], two["dcgan"][1]["generator_ema.main.2.running_var"]
    )
    assert one["styles"]["buffer.2.mean_length"] > 0 and "term.0.r1.penalty" in one["styles"]
    assert two["ada"][0]["augmentation.p"].dtype == torch.float64


def test_the_command_trains_in_two_processes_and_leaves_their_group(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    words = ["-m", "ganzoo", *small.arguments(small.images(tmp_path / "grey.npz"), tmp_path / "run", steps=2)]
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    running = [start(rank, store.port, words) for rank in (0, 1)]
    outputs = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(outputs)[-4000:]
    assert small.steps_of(tmp_path / "run") == [2] and "destroy_process_group" not in "".join(outputs)


def test_alone_nothing_is_reduced():
    alone = join("cpu")
    assert alone == Processes() and alone.size == 1
    values = torch.ones(2)
    assert alone.average(values) is values
    assert alone.any(True) is True and alone.any(False) is False
    alone.barrier()
