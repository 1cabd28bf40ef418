"""Fixtures of the tests that convert others' files."""

import os

import pytest
from warm_reader import WarmReader

from ganzoo.convert import pickle_reader


@pytest.fixture(scope="module")
def warm():
    """One process that reads the files of all tests of a module that use `warm_reader`, each in a fork."""
    reader = WarmReader()
    yield reader
    reader.close()


@pytest.fixture
def warm_reader(warm, monkeypatch):
    if hasattr(os, "fork"):
        monkeypatch.setattr(pickle_reader, "_run", warm.run)
