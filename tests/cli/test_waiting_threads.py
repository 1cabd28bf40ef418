"""OpenMP's waiting threads sleep soon, unless the user says how long they spin."""

import os

import pytest

from ganzoo.cli import SPIN_COUNT, main

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def started():
    with pytest.raises(SystemExit):
        main(["--version"])
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_the_command_line_sets_a_short_spin(environment):
    assert started() == {"GOMP_SPINCOUNT": SPIN_COUNT}


@pytest.mark.parametrize("name", NAMES)
def test_the_users_own_setting_stays_alone(environment, name):
    environment.setenv(name, "7")
    assert started() == {name: "7"}
