"""Train, publish, load by name: the images are the same, and so are those that the run itself draws."""

import pytest
import small
from hub_client import Client
from loopback_hub import WRITER, LoopbackHub

from ganzoo.cli import main


def test_train_push_load_draws_the_same_images(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "images"))
    with pytest.raises(SystemExit) as ended:
        main(
            small.arguments(small.images(tmp_path / "grey.npz"), tmp_path / "run", "--set", "training.ema=0.5", steps=2)
        )
    assert ended.value.code == 0
    hub = LoopbackHub()
    client = Client(tmp_path / "client", hub.endpoint)
    try:
        drawn = client("load", str(tmp_path / "run"), seed=7)
        pushed = client("push", str(tmp_path / "run"), "owner/trained", token=WRITER)
        for source in ("owner/trained", f"owner/trained@{pushed['commit']}", "hf://owner/trained@main"):
            assert client("load", source, cache="fresh", seed=7)["images"] == drawn["images"]
        assert client("load", "owner/trained", cache="fresh", seed=8)["images"] != drawn["images"]
    finally:
        client.close()
        hub.close()
