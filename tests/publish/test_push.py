"""Publishes models through the real client to a stand-in of the Hub: one verified commit, or one line and no change."""

import json
import re
from pathlib import Path

import pytest
import small
import yaml
from hub_client import client, model_files, without_faults, write_files  # noqa: F401  fixtures among them
from loopback_faults import FAULTS, Fault
from loopback_hub import READER, WRITER, LoopbackHub

from ganzoo.cli import main
from ganzoo.config.recipe import bind_part
from ganzoo.engine.build import build_part
from ganzoo.models.config import ModelConfig, Provider
from ganzoo.models.folder import write_model
from ganzoo.publish.model_card import model_card, tags
from ganzoo.publish.push import FILES
from ganzoo.registry.registry import registry
from ganzoo.variant import Field, ImageSpec, Part, SampleSpec

PUBLISHED = {"config.json", "model.safetensors", "README.md", "samples.png", ".gitattributes"}


@pytest.fixture(scope="module")
def hub():
    hub = LoopbackHub()
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """A model folder with files beside it that must not leave."""
    folder = write_files(tmp_path_factory.mktemp("models") / "model", model_files())
    for name in (".env", "optimizer.safetensors", "notes.txt", "code.py"):
        (folder / name).write_text("secret")
    return str(folder)


def test_one_commit_of_the_named_files_and_no_other(hub, client, model):
    answer = client("push", model, "owner/first", token=WRITER)
    repository = hub.repositories["owner/first"]
    assert answer["changed"] and answer["commit"] == repository.refs["main"] and len(repository.commits) == 2
    assert set(repository.head) == PUBLISHED and not any(b"secret" in data for data in repository.head.values())
    assert b"/home/somebody" not in repository.head["config.json"] + repository.head["README.md"]
    assert not repository.private and "the same bit for bit" in answer["report"][-1]
    assert client("load", "owner/first", cache="elsewhere")["images"] == client("load", model)["images"]
    assert {entry["token"] for entry in hub.requests("PUT")} == {None}


def test_the_samples_are_a_picture_and_the_card_is_metadata_and_text(hub, client, model):
    client("push", model, "owner/card", token=WRITER, license="CC-BY-4.0")
    head = hub.repositories["owner/card"].head
    assert head["samples.png"].startswith(b"\x89PNG")
    _, metadata, text = head["README.md"].decode().split("---\n", 2)
    facts = yaml.safe_load(metadata)
    assert (
        facts["library_name"] == "ganzoo"
        and facts["license"] == "cc-by-4.0"
        and facts["tags"] == ["gan", "dcgan", "32x32", "tiny"]
    )
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    assert code.count("\n") == 3 and 'ganzoo.load("owner/card")' in code
    assert "![Samples of seed 0](samples.png)" in text and "arxiv.org/abs/1511.06434" in text
    assert json.loads(head["config.json"])["license"] == "CC-BY-4.0"


def test_the_same_again_is_no_commit(hub, client, model):
    first = client("push", model, "owner/again", token=WRITER)
    hub.log.clear()
    second = client("push", model, "owner/again", token=WRITER, cache="another")
    assert (second["commit"], second["changed"]) == (first["commit"], False)
    assert (
        len(hub.repositories["owner/again"].commits) == 2
        and not hub.requests("POST", "/commit/")
        and not hub.requests("PUT")
    )
    third = client("push", model, "owner/again", token=WRITER, dtype="float16")
    assert third["changed"] and len(hub.repositories["owner/again"].commits) == 3
    assert len(hub.repositories["owner/again"].head["model.safetensors"]) < 0.7 * len(
        model_files()["model.safetensors"]
    )


def test_private_message_and_tag(hub, client, model):
    answer = client("push", model, "team/private", token=WRITER, private=True, tag="v1")
    assert hub.repositories["team/private"].private and hub.repositories["team/private"].refs["v1"] == answer["commit"]
    assert client("push", model, "team/private", token=WRITER, tag="v1")["changed"] is False
    hub.log.clear()
    answer = client("push", model, "team/private", token=WRITER, tag="v1", dtype="bfloat16")
    assert "tag 'v1'" in answer["error"] and "nothing is uploaded" in answer["error"]
    assert len(hub.repositories["team/private"].commits) == 2 and not hub.requests("POST", "/preupload/")
    assert (
        client("pull", "team/private", revision="v1", token=WRITER)["commit"]
        == hub.repositories["team/private"].refs["v1"]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        with pytest.raises(SystemExit) as ended:
            main(small.arguments(small.images(folder / "grey.npz"), folder / "run", steps=2))
    assert ended.value.code == 0
    return str(folder / "run")


def test_the_discriminator_goes_along_when_asked_and_comes_back(hub, client, run, model):
    client("push", run, "owner/both", token=WRITER, discriminator=True)
    head = hub.repositories["owner/both"].head
    assert set(head) == PUBLISHED | {"discriminator.safetensors"}
    assert set(client("pull", "owner/both", cache="generator")["files"]) == {"config.json", "model.safetensors"}
    assert set(client("pull", "owner/both", cache="both", discriminator=True)["files"]) == set(FILES) - {
        "README.md",
        "samples.png",
    }
    client("push", "owner/both", "owner/copy", token=WRITER, discriminator=True)
    assert hub.repositories["owner/copy"].head["discriminator.safetensors"] == head["discriminator.safetensors"]
    client("push", run, "owner/both", token=WRITER)
    assert set(hub.repositories["owner/both"].head) == PUBLISHED
    for source in (model, "owner/both"):
        assert (
            "discriminator"
            in client("push", source, "owner/none", token=WRITER, discriminator=True, cache="x")["error"]
        )
    assert "no discriminator" in client("pull", "owner/both", discriminator=True)["error"]


def test_a_tag_that_is_taken_meanwhile_is_not_moved(hub, client, model, monkeypatch):
    real = LoopbackHub.on_tag

    def meanwhile(self, match, query, body, token):
        repository = self.repositories[match["name"]]
        repository.refs["v1"] = next(iter(repository.commits))
        return real(self, match, query, body, token)

    monkeypatch.setattr(LoopbackHub, "on_tag", meanwhile)
    answer = client("push", model, "owner/tagged", token=WRITER, tag="v1")
    assert "already has a tag 'v1'" in answer["error"] and "is published at commit" in answer["error"]


def test_a_tag_with_the_name_of_a_branch_is_refused_before_the_upload(hub, client, model):
    client("push", model, "owner/branches", token=WRITER)
    repository = hub.repositories["owner/branches"]
    repository.refs["next"] = next(iter(repository.commits))
    answer = client("push", model, "owner/branches", token=WRITER, tag="next", dtype="float16")
    assert "branch or tag 'next'" in answer["error"] and len(repository.commits) == 2


NO_TAGS = ["", " ", "a b", "main", "Main", "master", "HEAD", "refs/heads/x", "refs/tags/v1", "heads/x", "tags/v1"]
NO_TAGS += ["v1.", "v1/", "v1.lock", "a/.b", "a..b", "-v1", "v1\n", "0" * 40, "x" * 300]


@pytest.mark.parametrize("tag", NO_TAGS)
def test_tags_that_are_refused(hub, client, model, tag):
    answer = client("push", model, "owner/untagged", token=WRITER, tag=tag)
    assert answer["kind"] == "UsageError" and "such as v1" in answer["error"], answer
    assert "owner/untagged" not in hub.repositories


REFUSED = {
    "no account": ({"token": None}, "log in with `hf auth login`"),
    "bad token": ({"token": "hf_wrong"}, "does not let you write.*401.*`hf auth login`"),
    "reader": ({"token": READER}, "does not let you write to 'owner' .status 403"),
    "dtype": ({"token": WRITER, "dtype": "int8"}, "cannot be stored as 'int8'"),
    "tag": ({"token": WRITER, "tag": "../x"}, "no name of a tag"),
    "license": ({"token": WRITER, "license": " "}, "not blanks"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_requests_that_are_refused(hub, client, model, name):
    options, words = REFUSED[name]
    answer = client("push", model, "owner/refused", **options)
    assert re.search(words, answer["error"]), answer
    assert "owner/refused" not in hub.repositories


@pytest.mark.parametrize("repo", ["owner", "a/b/c", "../x", "owner/na me", "hf://owner/name"])
def test_names_that_are_refused(client, model, repo):
    assert "names no repository" in client("push", model, repo, token=WRITER)["error"]


def test_somebody_elses_repository_and_files_are_not_written_over(hub, client, model):
    hub.put("stranger/model", model_files() | {"README.md": b"---\nlibrary_name: ganzoo\n---\n"})
    answer = client("push", model, "stranger/model", token=WRITER)
    assert (
        "does not let you write to 'stranger'" in answer["error"]
        and len(hub.repositories["stranger/model"].commits) == 1
    )
    for name, files in {"bert": {"config.json": b"{}"}, "pictures": {"a.png": b"x"}}.items():
        hub.put(f"owner/{name}", files)
        assert "did not publish" in client("push", model, f"owner/{name}", token=WRITER)["error"]
        assert hub.repositories[f"owner/{name}"].head == files
    hub.put("owner/empty", {"README.md": b"soon", "LICENSE": b"text"})
    assert client("push", model, "owner/empty", token=WRITER)["changed"]
    assert set(hub.repositories["owner/empty"].head) == PUBLISHED - {".gitattributes"} | {"LICENSE"}


def test_somebody_pushed_meanwhile(hub, client, model, monkeypatch):
    client("push", model, "owner/race", token=WRITER)
    real = LoopbackHub.on_commit

    def meanwhile(self, *request):
        hub.put(
            "owner/race", hub.repositories["owner/race"].head | {"README.md": b"---\nlibrary_name: ganzoo\n---\ntheirs"}
        )
        return real(self, *request)

    monkeypatch.setattr(LoopbackHub, "on_commit", meanwhile)
    answer = client("push", model, "owner/race", token=WRITER, dtype="float16")
    assert "owner/race has a newer commit" in answer["error"] and "push again" in answer["error"]
    assert hub.repositories["owner/race"].head["README.md"].endswith(b"theirs")


def test_an_answer_that_is_lost_after_the_commit_is_found_again(hub, client, model):
    hub.faults[:] = [Fault("commit", "lost")]
    answer = client("push", model, "owner/lost", token=WRITER)
    assert answer["changed"] and len(hub.repositories["owner/lost"].commits) == 2
    assert client("push", model, "owner/lost", token=WRITER)["changed"] is False


SPOTS = ("create", "yaml", "preupload", "batch", "put", "verify", "commit", "info", "get weights")
KINDS = (
    "500",
    "503",
    "429",
    "429 soon",
    "401",
    "403",
    "404",
    "416",
    "slow",
    "stall",
    "reset",
    "closed",
    "half",
    "flipped",
    "zeros",
)
SOME = {"503", "reset"}
CASES = [pytest.param(spot, kind, marks=() if kind in SOME else pytest.mark.slow) for spot in SPOTS for kind in KINDS]


@pytest.mark.parametrize(("spot", "kind"), CASES)
def test_published_whole_or_one_line_and_nothing_changed(hub, client, model, spot, kind):
    """Each fault at each spot, once and always; pushing again without it always ends well, with one commit in all."""
    assert kind in FAULTS
    repo = f"owner/{spot}-{kind}".replace(" ", "-")
    for times in (1, -1):
        hub.large.clear()
        name = f"{repo}-{'once' if times == 1 else 'always'}"
        hub.faults[:] = [Fault(spot, kind, times)]
        answer = client("push", model, name, token=WRITER, cache=name, seconds=0.3 if kind == "stall" else 10.0)
        repository = hub.repositories.get(name)
        commits = len(repository.commits) if repository else 0
        assert commits <= 2 and (commits == 2 or "error" in answer), answer
        assert "error" in answer or kind in ("slow", "flipped") or times == 1 or spot == "verify" or spot == "yaml", (
            answer
        )
        if commits == 2:
            assert set(repository.head) == PUBLISHED
        hub.faults.clear()
        answer = client("push", model, name, token=WRITER, cache=name)
        assert "error" not in answer and len(hub.repositories[name].commits) == 2, answer
        assert hub.repositories[name].head["model.safetensors"] == model_files()["model.safetensors"]


def config(**changes) -> ModelConfig:
    facts = {
        "variant": "dcgan",
        "generator": Part("dcgan"),
        "image": ImageSpec(32, 1),
        "latent_dim": 100,
        "license": "mit",
    }
    return ModelConfig(**{**facts, "provider": Provider(distribution="ganzoo", version="0.1.0"), **changes})


HOSTILE = [
    "a: #b",
    "|pipe|",
    "new\nline",
    "---\nlicense: mit\n---",
    "<script>alert(1)</script>",
    "`code`",
    "[link](http://x)",
    "\u202ebidi",
    "'\"",
    "x" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_card_has_a_meaning_of_its_own(text):
    card = model_card(
        "owner/name",
        config(
            license=text,
            image=ImageSpec(32, 1, 2),
            classes=(text, "other"),
            training={"data": {"name": text}, text: text, "loss": {"options": {text: 0.1}}},
            metrics={text: 1.5},
        ),
        None,
    )
    _, metadata, body = card.split("---\n", 2)
    facts = yaml.safe_load(metadata)
    assert (
        set(facts) <= {"library_name", "pipeline_tag", "license", "license_name", "tags"}
        and facts["library_name"] == "ganzoo"
    )
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", tag) for tag in facts["tags"])
    assert "<script" not in body and "\u202e" not in body and len(card) < 10_000
    rows = [line for line in body.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)
    assert "\n---\n" not in body and not re.search(r"(?<!\\)\]\(http", body)


def test_a_data_set_without_a_name_gives_no_tag():
    assert tags(config()) == ["gan", "dcgan", "32x32"]
    assert tags(config(training={"data": {"name": "Fashion MNIST!"}}))[3] == "fashion-mnist"


def test_the_command_prints_the_commit(hub, client, model):
    done = client("cli", "push", model, "owner/command", "--license", "mit", "--private", token=WRITER)
    assert (
        done["code"] == 0 and done["out"].strip() == f"owner/command@{hub.repositories['owner/command'].refs['main']}"
    )
    done = client("cli", "push", model, "owner/command")
    assert done["code"] == 2 and done["err"].count("\n") == 1 and "hf auth login" in done["err"]


def test_a_loaded_model_is_published(hub, client, model):
    """`ganzoo.push(model, repo)` publishes the files of the command, so that the second makes no commit."""
    pushed = client("push_loaded", model, "owner/loaded", token=WRITER, license="mit", tag="v1")
    repository = hub.repositories["owner/loaded"]
    assert pushed["changed"] and pushed["commit"] == repository.refs["main"] == repository.refs["v1"]
    assert json.loads(repository.head["config.json"])["license"] == "mit"
    again = client("push", model, "owner/loaded", token=WRITER, license="mit")
    assert (again["changed"], again["commit"]) == (False, pushed["commit"])
    refused = client("push_loaded", model, "owner/refused", token=WRITER, discriminator=True)
    assert "discriminator" in refused["error"] and "owner/refused" not in hub.repositories


def test_pictures_of_the_cards(hub, client, model, tmp_path):
    """The samples that are published are those that the model draws with seed 0."""
    client("push", model, "owner/picture", token=WRITER)
    (tmp_path / "published.png").write_bytes(hub.repositories["owner/picture"].head["samples.png"])
    done = client("cli", "sample", model, "-n", "64", "--seed", "0", "--out", str(tmp_path / "drawn.png"))
    assert done["code"] == 0
    from PIL import Image, ImageChops

    difference = ImageChops.difference(*(Image.open(Path(tmp_path) / name) for name in ("published.png", "drawn.png")))
    assert difference.getbbox() is None


def test_a_translator_is_published_and_loaded_back(hub, client, tmp_path):
    spec = SampleSpec(Field((3, 32, 32)), {"source": Field((1, 32, 32))})
    part = Part("unet", {"width": 4})
    generator = build_part(bind_part("generator", part, registry()), spec)
    config = ModelConfig(
        variant="pix2pix",
        generator=part,
        image=spec,
        latent_dim=0,
        provider=Provider(distribution="ganzoo", version="0.1.0"),
        license="mit",
        task="translation",
        inputs={"source": Part("grey")},
        training={
            "data": {"source": "/home/anna/photos", "sources": {"source": "/home/anna/lines"}},
            "loss": {"name": "pix2pixhd", "options": {"perceptual": "/home/anna/vgg19.safetensors"}},
        },
    )
    write_model(tmp_path / "model", config, generator.state_dict())
    answer = client("push", str(tmp_path / "model"), "owner/translator", token=WRITER)
    head = hub.repositories["owner/translator"].head
    assert set(head) == PUBLISHED - {"samples.png"} and "the same bit for bit" in answer["report"][-1]
    assert "pipeline_tag: image-to-image" in head["README.md"].decode()
    stored = json.loads(head["config.json"])
    assert (stored["task"], stored["latent_dim"]) == ("translation", 0)
    assert stored["inputs"] == {"source": {"name": "grey", "options": {}}}
    assert not any(b"anna" in data for data in head.values())
    assert stored["training"]["data"] == {"sources": {"source": "lines"}}
    assert stored["training"]["loss"]["options"] == {"perceptual": "vgg19.safetensors"}
