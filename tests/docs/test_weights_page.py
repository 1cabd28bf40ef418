"""docs/weights.md: its programs run, and what it says of keys and limits is what the code does."""

import re
import subprocess
import sys

import forks
import pytest
from models import lively_model
from paths import DOCS

from ganzoo.models.config import CONFIG_BYTES, FORMAT, ModelConfig
from ganzoo.models.header import DIMENSIONS, HEADER_BYTES, ITEM_BYTES, TENSORS

PAGE = (DOCS / "weights.md").read_text(encoding="utf-8")
EXAMPLE, READER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path):
    lively_model().save(tmp_path / "model")
    return tmp_path


def test_the_example_runs(folder, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(folder / "cache"))
    source = EXAMPLE + "assert images.shape == (16, 1, 16, 16)"
    done = forks.python("-c", source, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "copy" / "model.safetensors").stat().st_size < (
        folder / "model" / "model.safetensors"
    ).stat().st_size


def test_a_program_without_ganzoo_and_torch_reads_a_folder(folder):
    source = f"import sys\nsys.modules['torch'] = sys.modules['ganzoo'] = None\n{READER}"
    done = subprocess.run([sys.executable, "-c", source, str(folder / "model")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    state = lively_model().generator.state_dict()
    assert done.stdout.split() == [
        "dcgan",
        "16",
        str(len(state)),
        str(sum(tensor.numel() for tensor in state.values())),
    ]
    assert len(READER.splitlines()) <= 20
    content = bytearray((folder / "model" / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model" / "model.safetensors").write_bytes(content)
    assert subprocess.run([sys.executable, "-c", source, str(folder / "model")], capture_output=True).returncode != 0


def test_every_key_is_documented():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(documented_order())
    assert f"| `format` | `{FORMAT}` |" in PAGE


def documented_order():
    """The order of the table, which puts the weights before descriptions: the fields of the class, no other."""
    fields = set(ModelConfig.__dataclass_fields__)
    table = ("format", "variant", "generator", "image", "latent_dim", "classes", "provider", "license", "weights")
    table += ("discriminator", "discriminator_weights", "training", "metrics", "task", "inputs")
    assert set(table) == fields
    return table


def test_the_limits_are_those_of_the_code():
    assert (CONFIG_BYTES, HEADER_BYTES, TENSORS, DIMENSIONS) == (64 * 2**10, 4 * 2**20, 20_000, 8)
    for words in ("at most 64 KB", "at most 4 MB", "at most 20,000 tensors", "at most 8 dimensions"):
        assert words in PAGE
    assert all(f"`{dtype}`" in PAGE for dtype in ITEM_BYTES if dtype[0] not in "FB") and "`BOOL`" in PAGE
