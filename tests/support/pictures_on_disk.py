"""Small pictures on disk for the tests of data sources, and what loading them must say."""

from pathlib import Path

import pytest
from PIL import Image

from ganzoo.data import load_images
from ganzoo.errors import GanzooError


def save(path: Path, grey: int, mode: str = "L") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (6, 6), grey if mode == "L" else (grey, grey, grey)).save(path)
    return path


@pytest.fixture
def load(tmp_path):
    def load(source, **options):
        return load_images(str(source), size=6, cache=tmp_path / "cache", **options)

    return load


def values(data) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


def assert_refused(load, source, words: str, kind=GanzooError, **options):
    with pytest.raises(kind, match=words) as caught:
        load(source, **options)
    assert "\n" not in str(caught.value)
