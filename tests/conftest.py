import gc
import os
import signal

import pytest
import torch

MARKS = ("process", "slow")  # pyproject.toml says what they mean
torch.set_num_threads(1)


def pytest_addoption(parser):
    parser.addoption(
        "--cuda", action="store_true", help="let tests see the GPU; give the files that need one, for many others fork"
    )
    for mark in MARKS:
        parser.addoption(f"--{mark}", action="store_true", help=f"also run the tests marked {mark}")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Tests of one file stay together, since they share what is made once.

    A worker that is done takes some of another's.
    """
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_configure(config):
    # The same tests on every machine, and no fork of a process that holds a GPU's driver.
    if not config.getoption("--cuda"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(config, items):
    asked = config.option.markexpr
    left_out = [mark for mark in MARKS if not config.getoption(f"--{mark}") and mark not in asked.split()]
    for item in items:
        for mark in left_out:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"{mark}: give --{mark} or -m {mark}"))


@pytest.fixture
def terminal_signals():
    """Ctrl-C and a hang-up act as in a terminal, also where the tests were started by nohup or in the background."""
    usual = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    before = {}
    for name, handler in usual.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_collection_finish():
    """Spares the garbage collector thousands of tests and all that they import, which stay anyway."""
    gc.collect()
    gc.freeze()
