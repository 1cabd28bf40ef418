"""Searching models through the real client in a stand-in of the Hub."""

import json

import pytest
from hub_client import client, model_files, without_faults  # noqa: F401  fixtures among them
from loopback_faults import Fault
from loopback_hub import LoopbackHub

from ganzoo.models.config import ModelConfig, Provider
from ganzoo.publish.model_card import model_card
from ganzoo.variant import ImageSpec, Part


def card(variant: str, size: int, data: str) -> bytes:
    config = ModelConfig(
        variant=variant,
        generator=Part(variant),
        image=ImageSpec(size, 1),
        latent_dim=1,
        provider=Provider(distribution="ganzoo", version="0.1.0"),
        license="mit",
        training={"data": {"name": data}},
    )
    return model_card("owner/name", config, None).encode()


MODELS = {
    "owner/dcgan-fashion": ("dcgan", 32, "fashion-mnist"),
    "owner/dcgan-faces": ("dcgan", 64, "faces"),
    "owner/infogan-digits": ("infogan", 28, "mnist"),
    "owner/own-fashion": ("my-own", 32, "fashion-mnist"),
    "owner/wgan": ("wgan-gp", 32, "cifar10"),
    "owner/first": ("gan", 28, "mnist"),
}


@pytest.fixture(scope="module")
def hub():
    hub = LoopbackHub()
    for number, (name, facts) in enumerate(MODELS.items()):
        hub.put(name, model_files() | {"README.md": card(*facts)}, downloads=100 - number)
    hub.put("owner/bert-fashion", {"README.md": b"---\nlibrary_name: transformers\n---\n"}, downloads=10**6)
    hub.put("owner/secret", model_files() | {"README.md": card("dcgan", 32, "x")}, private=True)
    yield hub
    hub.close()


def test_all_models_of_ganzoo_and_no_other_over_several_pages(hub, client):
    found = client("search")["found"]
    assert [model["name"] for model in found] == list(MODELS)
    assert [(model["variant"], model["size"]) for model in found] == [
        (variant, size) for variant, size, _ in MODELS.values()
    ]
    assert found[0] == {
        "name": "owner/dcgan-fashion",
        "variant": "dcgan",
        "size": 32,
        "downloads": 100,
        "modified": "2026-05-17",
    }
    assert len(hub.requests("GET", "/api/models")) == 3


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"words": "fashion"}, ["owner/dcgan-fashion", "owner/own-fashion"]),
        ({"variant": "dcgan"}, ["owner/dcgan-fashion", "owner/dcgan-faces"]),
        ({"variant": "gan"}, ["owner/first"]),
        ({"variant": "dcgan", "size": 64}, ["owner/dcgan-faces"]),
        ({"size": 28}, ["owner/infogan-digits", "owner/first"]),
        ({"words": "fashion", "variant": "infogan"}, []),
        ({"limit": 1}, ["owner/dcgan-fashion"]),
        ({"limit": 3}, ["owner/dcgan-fashion", "owner/dcgan-faces", "owner/infogan-digits"]),
    ],
)
def test_by_words_variant_and_resolution(client, options, names):
    assert [model["name"] for model in client("search", **options)["found"]] == names


ALWAYS = {
    "500": "status 500",
    "503": "status 503",
    "429": "status 429",
    "429 late": "try again in 3600 seconds",
    "401": "status 401",
    "404": "lost|status 404",
    "stall": "no answer",
    "reset": "breaks off",
    "closed": "breaks off",
    "half": "breaks off",
    "zeros": "not one of the Hub",
    "html": "not one of the Hub",
    "nested": "not one of the Hub",
    "loop": "redirect loop",
    "encoding": "not one of the Hub",
}


@pytest.mark.parametrize("kind", ALWAYS)
def test_a_hub_that_fails_is_one_line(hub, client, kind):
    import re

    hub.faults[:] = [Fault("list", kind, -1)]
    answer = client("search", seconds=0.3 if kind == "stall" else 10.0)
    assert re.search(ALWAYS[kind], answer["error"]), answer


@pytest.mark.parametrize("kind", ["500", "429 soon", "reset", "half"])
def test_a_fault_that_passes_is_waited_for(hub, client, kind):
    hub.faults[:] = [Fault("list", kind)]
    assert len(client("search")["found"]) == len(MODELS)


def test_pages_without_end_end(hub, client, monkeypatch):
    def endless(self, match, query, body, token):
        from loopback_faults import as_json

        return as_json([], Link=f'<{self.endpoint}/api/models?more={len(self.log)}>; rel="next"')

    monkeypatch.setattr(LoopbackHub, "on_list", endless)
    assert "more than 100 requests" in client("search")["error"]


ODD = [
    [1, 2],
    ["text"],
    {"a": 1},
    [{"id": "owner/x", "tags": "no list"}],
    [{"id": 7}],
    [{}],
    [{"id": "../../x"}],
    [{"id": "owner/\x1b[31m", "tags": []}],
    [{"id": "owner/x", "lastModified": "never"}],
    [{"id": "owner/x", "tags": [1, None, "\x1b[2J"], "downloads": "many"}],
]


@pytest.mark.parametrize("answer", ODD, ids=json.dumps)
def test_odd_answers_are_left_out_or_one_line(client, monkeypatch, answer):
    from loopback_faults import as_json

    monkeypatch.setattr(LoopbackHub, "on_list", lambda *request: as_json(answer))
    got = client("search")
    assert "error" in got or all(model["name"] == "owner/x" and model["variant"] is None for model in got["found"]), got


@pytest.mark.parametrize(
    ("options", "words"), [({"limit": 0}, "ask for 1 to"), ({"variant": "a b"}, "no name of a variant")]
)
def test_requests_that_are_refused(client, options, words):
    assert words in client("search", **options)["error"]


def test_the_command_prints_a_table_or_json(client):
    done = client("cli", "search", "fashion")
    lines = done["out"].splitlines()
    assert done["code"] == 0 and lines[0].split() == ["name", "variant", "pixels", "downloads", "modified"]
    assert lines[1].split() == ["owner/dcgan-fashion", "dcgan", "32x32", "100", "2026-05-17"] and len(lines) == 3
    done = client("cli", "search", "--variant", "dcgan", "--image-size", "64", "--json")
    assert [row["name"] for row in json.loads(done["out"])] == ["owner/dcgan-faces"]
    done = client("cli", "search", "nothing-of-this-name")
    assert done["code"] == 0 and done["out"] == "" and "No model" in done["err"]
