"""Pulls models through the real client from a stand-in of the Hub: right bytes or one line, and no stray files."""

import hashlib
import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from hub_client import Client, client, model_files, without_faults, write_files  # noqa: F401  fixtures among them
from loopback_faults import FAULTS, LIES, Fault
from loopback_hub import READER, WRITER, LoopbackHub

REPO = "owner/model"
WEIGHTS = "model.safetensors"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


RIGHT = {name: sha256(data) for name, data in model_files().items()}


@pytest.fixture(scope="module")
def hub():
    hub = LoopbackHub()
    extra = {
        "pickle.bin": b"never",
        "README.md": b"---\nlibrary_name: ganzoo\n---\n",
        "code.py": b"never",
        ".gitattributes": b"x",
    }
    hub.put(REPO, model_files() | extra)
    yield hub
    hub.close()


def head(hub, repo: str = REPO) -> str:
    return hub.repositories[repo].refs["main"]


def test_only_configuration_and_weights_are_fetched(hub, client):
    answer = client("pull", REPO, cache="only")
    assert answer["files"] == RIGHT and answer["commit"] == head(hub)
    assert {Path(entry["path"]).name for entry in hub.requests("GET") if entry["spot"].startswith("get")} == {
        "config.json",
        RIGHT[WEIGHTS],
    }
    assert all(entry["token"] is None for entry in hub.log)


def test_the_second_pull_asks_once_and_a_commit_asks_never(hub, client):
    client("pull", REPO, cache="twice")
    hub.log.clear()
    assert client("pull", REPO, cache="twice")["files"] == RIGHT
    assert [entry["spot"] for entry in hub.log] == ["info"]
    hub.log.clear()
    assert client("pull", REPO, revision=head(hub), cache="twice")["files"] == RIGHT
    assert hub.log == []


def test_a_commit_or_a_tag_may_be_named(hub, client):
    first = hub.put("owner/two", model_files(1))
    second = hub.put("owner/two", model_files(2))
    hub.repositories["owner/two"].refs["v1"] = first
    for revision, commit, seed in ((first, first, 1), ("v1", first, 1), (None, second, 2), ("main", second, 2)):
        answer = client("pull", "owner/two", cache="two", revision=revision)
        assert (answer["commit"], answer["files"][WEIGHTS]) == (commit, sha256(model_files(seed)[WEIGHTS]))
    assert client("pull", "owner/two", cache="fresh", revision=first)["files"][WEIGHTS] == sha256(
        model_files(1)[WEIGHTS]
    )


def test_loading_by_name_draws_the_same_images(client, tmp_path):
    answer = client("load", REPO, cache="load")
    assert answer["spread"] > 0.05
    assert answer["images"] == client("load", str(write_files(tmp_path / "model", model_files())))["images"]
    assert client("load", f"hf://{REPO}@main", cache="load")["images"] == answer["images"]


def cached(folder: Path) -> dict[str, Path]:
    """Every real file of a cache that may become part of a model, by its path there."""
    found = {
        str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    }
    return {name: path for name, path in found.items() if "/blobs/" in name or "/snapshots/" in name}


def damage(folder: Path) -> None:
    """Flips a byte in every file of a cache."""
    for path in cached(folder).values():
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def check(answer: dict, client: Client, cache: str, looked: bool = True) -> None:
    """Right bytes or one line; and either way only right bytes in the cache, and nothing outside it."""
    if "error" in answer:
        assert answer["kind"] in ("HubError", "Unreachable", "UsageError") and re.search(
            r"[.?]\)?\.?$", answer["error"]
        ), answer
    else:
        assert answer["files"] == RIGHT, answer
    wrong = [
        name for name, path in cached(client.folder / cache).items() if sha256(path.read_bytes()) not in RIGHT.values()
    ]
    assert wrong == [] or not looked
    assert {path.name for path in client.folder.iterdir()} <= {"home", *client.caches}
    assert not list(client.folder.rglob("*escaped*")) and not Path("/tmp/escaped").exists()


SPOTS = ("info", "head config", "get config", "head weights", "get weights")
REFUSALS = {
    "500",
    "503",
    "429",
    "429 soon",
    "429 late",
    "401",
    "403",
    "404",
    "404 repository",
    "416",
    "stall",
    "reset",
    "closed",
}
STALLS = {"stall", "stall in body"}
OF_BODIES = {"reset in body", "half", "shorter", "flipped", "zeros"}
PASSING = {"500", "503", "429", "429 soon", "slow", "reset", "closed", "reset in body", "half"}
KEPT = {"500", "503", "429", "429 soon", "429 late", "stall", "reset", "closed", "html", "half"}
REPRESENTATIVE = {"503", "429 late", "stall", "reset in body", "flipped", "etag ../", "commit ../", "html", "loop"}
CASES = [
    pytest.param(spot, kind, marks=() if kind in REPRESENTATIVE else pytest.mark.slow)
    for spot in SPOTS
    for kind in (*FAULTS, *LIES)
]


@pytest.mark.parametrize(("spot", "kind"), CASES)
def test_right_bytes_or_one_line(hub, client, spot, kind):
    """Each fault at each spot: once and always with an empty cache, always with the model cached, whole or damaged."""
    name = f"c {spot} {kind}".replace(" ", "-").replace("/", "_")
    seconds = 0.3 if kind in STALLS else 10.0
    for state in ("once", "always", "warm", "damaged"):
        cache = f"{name}-{state}"
        if state in ("warm", "damaged"):
            hub.faults.clear()
            client("pull", REPO, cache=cache)
        if state == "damaged":
            damage(client.folder / cache)
        hub.faults[:] = [Fault(spot, kind, 1 if state == "once" else -1)]
        answer = client("pull", REPO, cache=cache, seconds=seconds)
        looked = (
            state != "damaged" or spot != "info" or "error" not in answer
        )  # what no commit is known of is not looked at
        check(answer, client, cache, looked)
        expect(answer, spot, kind, state)
        hub.faults.clear()
        assert client("pull", REPO, cache=cache)["files"] == RIGHT, (
            f"{state}: what is left is no hindrance once the Hub is well"
        )


def expect(answer: dict, spot: str, kind: str, state: str) -> None:
    """What is certain of the outcome, so that pulling may neither give up too early nor make something up."""
    by_body = kind in OF_BODIES | STALLS and not spot.startswith("head")
    if state == "once" and (kind in PASSING or (kind in OF_BODIES and spot != "info")):
        assert "error" not in answer, answer
    if state in ("always", "damaged") and spot != "info" and (kind in REFUSALS or by_body):
        assert "error" in answer, answer
    if (
        state == "always"
        and spot == "info"
        and (kind in REFUSALS | STALLS or kind in ("half", "zeros", "html", "nested", "loop"))
    ):
        assert "error" in answer, answer
    if state == "warm" and (spot != "info" or kind in KEPT | {"slow"}):
        assert "error" not in answer, answer
    if state == "warm" and spot == "info" and kind in KEPT:
        assert len(answer["report"]) == 1 and answer["commit"] in answer["report"][0], answer


@pytest.fixture(scope="module")
def closed():
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def test_offline_uses_what_was_pulled_and_says_so(hub, client, closed):
    commit = client("pull", REPO, cache="offline")["commit"]
    for environment, why in (({}, "no connection"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set")):
        offline = Client(client.folder, closed, **environment)
        answer = offline("pull", REPO, cache="offline")
        assert answer["files"] == RIGHT and len(answer["report"]) == 1
        assert why in answer["report"][0] and commit in answer["report"][0]
        assert offline("pull", REPO, revision=commit, cache="offline")["report"] == []
        assert offline("load", REPO, cache="offline")["spread"] > 0.05
        for repo, revision in (("owner/never", None), ("owner/never", commit), (REPO, "v9")):
            answer = offline("pull", repo, revision=revision, cache="offline")
            assert answer["kind"] == "Unreachable" and repo in answer["error"] and why in answer["error"]
        damage(client.folder / "offline")
        answer = offline("pull", REPO, cache="offline")
        assert answer["kind"] == "Unreachable" and why in answer["error"]
        assert not list((client.folder / "offline").rglob("config.json"))
        client("pull", REPO, cache="offline")
        offline.close()


def altered(files: dict[str, bytes], **changes) -> dict[str, bytes]:
    config = json.loads(files["config.json"])
    config["weights"] = {**config["weights"], **changes.pop("weights", {})}
    return files | {"config.json": json.dumps({**config, **changes}).encode()}


TRANSFORMERS = {"config.json": b'{"model_type": "bert"}', "README.md": b"---\nlibrary_name: transformers\n---\n"}
REPOSITORIES = {
    "transformers": (TRANSFORMERS, {}, "no ganzoo model: config.json is not .* 'transformers'"),
    "nothing": ({"README.md": b"text"}, {}, "no ganzoo model: it has no config.json"),
    "weightless": (
        {"config.json": model_files()["config.json"]},
        {},
        "no whole ganzoo model: it has no model.safetensors",
    ),
    "swapped": (model_files() | {WEIGHTS: model_files(3)[WEIGHTS]}, {}, "not the file that its config.json describes"),
    "large-config": ({"config.json": b" " * 70_000, WEIGHTS: b"x"}, {}, "larger than 65536 bytes"),
    "large-weights": (altered(model_files(), weights={"size": 3 * 10**9}), {}, "more than the 2000000000"),
    "newer": (altered(model_files(), format=2), {}, "owner/newer cannot be used: config.json: format:? 2 is not one"),
    "remote-code": (
        altered(model_files(), auto_map={"AutoModel": "code.Model"}),
        {},
        "cannot be used: config.json: .*auto_map",
    ),
    "gated": (model_files(), {"gated": True}, "gated: accept its terms on the Hub, then log in with `hf auth login`"),
    "private": (model_files(), {"private": True}, "no model 'owner/private', or it is private: .*`hf auth login`"),
}


@pytest.mark.parametrize("name", REPOSITORIES)
def test_repositories_that_are_refused(hub, client, name):
    files, facts, words = REPOSITORIES[name]
    hub.put(f"owner/{name}", files, **facts)
    answer = client("pull", f"owner/{name}", cache="refused")
    assert re.search(words, answer["error"]) and answer["kind"] in ("HubError", "UsageError"), answer
    assert not hub.requests("GET", "/lfs/")


NAMES = {
    ("owner/missing", None): "no model 'owner/missing', or it is private",
    (REPO, "nope"): "has no revision 'nope'",
    (REPO, "0" * 40): "has no revision '0000",
    (REPO, "../../../escaped"): "names no model on the Hub",
    (REPO, "a//b"): "names no model on the Hub",
    (REPO, "/tmp/escaped"): "names no model on the Hub",
    ("../../escaped", None): "names no model on the Hub",
    ("owner", None): "names no model on the Hub",
    ("owner/name/more", None): "names no model on the Hub",
    ("owner/na\nme", None): "names no model on the Hub",
}


@pytest.mark.parametrize(("repo", "revision"), NAMES)
def test_names_that_are_refused(client, repo, revision):
    answer = client("pull", repo, revision=revision, cache="named")
    assert NAMES[repo, revision] in answer["error"], answer


def test_tokens_open_what_they_may_and_never_reach_the_other_origin(hub, client):
    hub.put("owner/gated2", model_files(), gated=True)
    hub.put("owner/private2", model_files(), private=True)
    for repo in ("owner/gated2", "owner/private2"):
        hub.log.clear()
        assert client("pull", repo, token=WRITER, cache="tokens")["files"] == RIGHT
        sent = {(entry["origin"], entry["token"]) for entry in hub.log if entry["spot"] != "unknown"}
        assert sent == {("api", WRITER), ("cdn", None)}
    assert "gated" in client("pull", "owner/gated2", token=READER, cache="reader")["error"]
    assert "no model" in client("pull", "owner/private2", token=READER, cache="reader")["error"]
    assert "hf auth login" in client("pull", "owner/gated2", token="hf_wrong", cache="wrong")["error"]


def test_registered_weights_must_have_the_registered_hash(hub, client):
    commit = head(hub)
    assert client("pull", REPO, revision=commit, sha256=RIGHT[WEIGHTS], cache="pinned")["files"] == RIGHT
    answer = client("pull", REPO, revision=commit, sha256="0" * 64, cache="pinned")
    assert "not those that were registered" in answer["error"]


def test_a_damaged_cache_is_mended_once_and_says_so(hub, client):
    for revision in (None, head(hub)):
        client("pull", REPO, cache="mended")
        damage(client.folder / "mended")
        hub.log.clear()
        answer = client("pull", REPO, revision=revision, cache="mended")
        assert answer["files"] == RIGHT and len(hub.requests("GET", "/lfs/")) == 1
        assert any(f"{WEIGHTS} of model 'owner/model' is damaged in the cache" in line for line in answer["report"])


def test_a_late_answer_ends_at_the_deadline(hub, client):
    hub.faults[:] = [Fault("info", "slow", -1)]
    answer = client("pull", REPO, cache="late", deadline=0.01)
    assert "took too long" in answer["error"]


@pytest.mark.parametrize("spot", ["info", "get config", "get weights"])
def test_a_trickle_ends_at_the_deadline(hub, client, spot):
    """However large the file is: the bytes come as slowly as the time limit of one read lets them."""
    hub.faults[:] = [Fault(spot, "trickle", -1)]
    answer = client("pull", REPO, cache=f"trickle-{spot[-7:]}", deadline=0.3)
    assert "took too long" in answer["error"]


@pytest.mark.parametrize("spot", ["get config", "get weights"])
def test_a_stalled_body_ends_at_the_deadline_with_all_repetitions(hub, client, spot):
    """The client resumes after each read that timed out, and so does ganzoo: 9 times in all without one deadline."""
    hub.faults[:] = [Fault(spot, "stall in body", -1)]
    answer = client("pull", REPO, cache=f"stalled-{spot[-7:]}", reading=0.2, deadline=0.5)
    assert answer["kind"] == "Unreachable"
    assert 2 <= sum(entry["spot"] == spot for entry in hub.log) <= 4


def test_a_hash_that_is_not_that_of_the_content_names_no_file(hub, client):
    """The client stores a file under the hash in the header, where programs look for the content of that hash."""
    for spot, revision in (("head weights", None), ("head weights", head(hub)), ("head config", head(hub))):
        cache = f"lying-{spot[-7:]}-{revision}"
        hub.faults[:] = [Fault(spot, "other etag", -1)]
        answer = client("pull", REPO, revision=revision, cache=cache)
        assert "0" * 64 in answer["error"] and RIGHT[WEIGHTS if "weights" in spot else "config.json"] in answer["error"]
        assert not list((client.folder / cache).rglob("0" * 64))
        hub.faults.clear()
        assert client("pull", REPO, revision=revision, cache=cache)["files"] == RIGHT


def in_the_way(kind: str, path: Path) -> None:
    """Puts something else in the place of a file or folder."""
    content = path.resolve()
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    if kind == "folder":
        (path / "inside").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "link to a folder":
        path.symlink_to(content.parent)
    elif kind == "dangling link":
        path.symlink_to("nothing")
    else:
        path.write_bytes(b"something else")


PLACES = {
    "pointer": lambda root, commit: root / "snapshots" / commit / WEIGHTS,
    "configuration": lambda root, commit: root / "snapshots" / commit / "config.json",
    "content": lambda root, commit: root / "blobs" / RIGHT[WEIGHTS],
    "snapshot": lambda root, commit: root / "snapshots" / commit,
    "blobs": lambda root, commit: root / "blobs",
    "repository": lambda root, commit: root,
}
WAYS = [
    (place, kind)
    for place in PLACES
    for kind in ("folder", "pipe", "loop", "link to a folder", "dangling link", "file")
    if place in ("pointer", "configuration", "content") or kind == "file"
]


def test_contents_in_a_store_of_several_caches_are_right(hub, client):
    """Newer clients link a file of the cache to such a store, where it has another name."""
    client("pull", REPO, cache="shared")
    content, store = (
        client.folder / "shared" / "models--owner--model" / "blobs" / RIGHT[WEIGHTS],
        client.folder / "home",
    )
    store.mkdir(exist_ok=True)
    os.replace(content, store / ("f" * 64))
    content.symlink_to(store / ("f" * 64))
    hub.log.clear()
    for revision in (None, head(hub)):
        answer = client("pull", REPO, revision=revision, cache="shared")
        assert answer["files"] == RIGHT and answer["report"] == [] and not hub.requests("GET", "/lfs/")


@pytest.mark.parametrize(("place", "kind"), WAYS)
def test_something_else_in_the_place_of_a_cached_file_is_replaced(hub, client, place, kind):
    cache = f"way-{place}-{kind}".replace(" ", "-")
    client("pull", REPO, cache=cache)
    root = client.folder / cache / "models--owner--model"
    in_the_way(kind, PLACES[place](root, head(hub)))
    for revision in (None, head(hub)):
        assert client("pull", REPO, revision=revision, cache=cache)["files"] == RIGHT


def test_a_cache_that_cannot_be_written_is_one_line(client):
    (client.folder / "c-file").write_text("in the way")
    answer = client("pull", REPO, cache="c-file")
    assert answer["kind"] == "HubError" and "cannot be stored" in answer["error"]


def test_many_processes_pull_into_one_cache(hub, client):
    clients = [Client(client.folder, hub.endpoint) for _ in range(2)]
    for one in clients:
        one.process.stdin.write(
            json.dumps({"do": "pull", "words": [REPO], "cache": str(client.folder / "shared")}) + "\n"
        )
        one.process.stdin.flush()
    assert all(json.loads(one.process.stdout.readline())["files"] == RIGHT for one in clients)
    for one in clients:
        one.close()


def test_the_command_prints_where_the_model_lies(hub, client, tmp_path):
    done = client("cli", "pull", REPO, cache="command")
    assert done["code"] == 0 and head(hub) in done["err"]
    folder = Path(done["out"].strip())
    assert sha256((folder / WEIGHTS).read_bytes()) == RIGHT[WEIGHTS]
    done = client("cli", "pull", REPO, "--out", str(tmp_path / "copy"), cache="command")
    assert done["code"] == 0 and {path.name for path in (tmp_path / "copy").iterdir()} == set(RIGHT)
    assert client("load", str(tmp_path / "copy"))["images"] == client("load", REPO, cache="command")["images"]
    half = client("cli", "pull", str(tmp_path / "copy"), "--dtype", "float16", "--out", str(tmp_path / "half"))
    assert (
        half["code"] == 0
        and (tmp_path / "half" / WEIGHTS).stat().st_size < 0.7 * (tmp_path / "copy" / WEIGHTS).stat().st_size
    )
    for words in (
        ["pull", REPO, "--dtype", "float16"],
        ["pull", REPO, "--out", str(tmp_path / "copy")],
        ["pull", str(tmp_path / "copy")],
    ):
        done = client("cli", *words, cache="command")
        assert done["code"] == 2 and done["err"].count("\n") == 1, done
