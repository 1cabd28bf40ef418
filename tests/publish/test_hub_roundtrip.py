"""Train, publish, load by name: the images are the same, and so are those that the run itself draws."""

import json

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
        continues_from_the_hub(client, tmp_path)
    finally:
        client.close()
        hub.close()


def continues_from_the_hub(client, folder):
    """A training starts from both networks of a repository, and records its commit."""
    pushed = client("push", str(folder / "run"), "owner/both", token=WRITER, discriminator=True)
    more = ("--from", "owner/both", "--freeze", "discriminator:1")
    done = client("cli", *small.arguments(folder / "grey.npz", folder / "more", *more, steps=1), cache="more")
    assert done["code"] == 0, done["err"]
    origin = json.loads((folder / "more" / "config.json").read_text())["origin"]
    files = client("pull", "owner/both", discriminator=True)["files"]
    assert (origin["source"], origin["revision"]) == ("owner/both", pushed["commit"])
    assert origin["sha256"] == {
        "generator": files["model.safetensors"],
        "discriminator": files["discriminator.safetensors"],
    }
    before, after = (small.newest(folder / name)["discriminator"] for name in ("run", "more"))
    same = [small.same(before[name], after[name]) for name in before if before[name].dim() >= 2]
    assert same[0] and not any(same[1:])
