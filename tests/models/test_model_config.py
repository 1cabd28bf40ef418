"""config.json of a model from outside: every wrong value is one line that names its key; nothing large is built."""

import copy
import json
import os
import resource
import sys

import pytest
from models import edit_config, lively_model

import ganzoo
from ganzoo.errors import CheckpointError
from ganzoo.models.config import CONFIG_BYTES, checked_config, read_model_config

RIGHT = {
    "format": 1,
    "variant": "dcgan",
    "generator": {"name": "dcgan", "options": {"latent_dim": 6, "width": 4}},
    "image": {"size": 16, "channels": 1, "classes": 0},
    "latent_dim": 6,
    "provider": {"distribution": "ganzoo", "version": "0.1.0"},
    "license": "MIT",
    "weights": {"file": "model.safetensors", "size": 1000, "sha256": "0" * 64, "dtype": "float32"},
}
PLAIN = json.dumps(RIGHT)
TEXTS = {
    "not JSON": (b"format = 1", "JSON"),
    "empty": (b"", "is empty"),
    "spaces": (b"  \n", "is empty"),
    "cut": (PLAIN[:-2].encode(), "JSON"),
    "byte-order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), "byte-order mark"),
    "UTF-16": (PLAIN.encode("utf-16"), "byte-order mark"),
    "not UTF-8": (PLAIN.replace("MIT", "\xff").encode("latin-1"), "UTF-8"),
    "too long": (PLAIN.encode() + b" " * CONFIG_BYTES, "too large"),
    "nested 30000": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
    "nested 30": (
        PLAIN.replace('"options"', '"options": ' + '{"a":' * 30 + "1" + "}" * 30 + ', "x"').encode(),
        "nested",
    ),
    "5000 digits": (PLAIN.replace("1000", "1" * 5000).encode(), "JSON"),
    "key twice": (PLAIN.replace('"format": 1', '"format": 1, "format": 1').encode(), "is there twice"),
    "nested key twice": (PLAIN.replace('"size": 16', '"size": 16, "size": 32').encode(), "is there twice"),
    "NaN": (PLAIN.replace("16", "NaN").encode(), "JSON"),
    "Infinity": (PLAIN.replace("16", "Infinity").encode(), "JSON"),
    "1e400": (PLAIN.replace("16", "1e400").encode(), "too large"),
    "a list": (b"[]", "is not the configuration"),
    "null": (b"null", "is not the configuration"),
    "a number": (b"1", "is not the configuration"),
    "a string": (b'"config"', "is not the configuration"),
    "empty object": (b"{}", "is not the configuration"),
}
LONG = "x" * 5000
VALUES = [
    ("format", 2, "format: 2 is not one that this ganzoo reads"),
    ("format", "1", "format: '1' is not"),
    ("format", True, "format: True is not"),
    ("variant", "../../x", "variant: '../../x' cannot name"),
    ("variant", "os.system\n", "variant: "),
    ("variant", "a:b", "variant: 'a:b' cannot name"),
    ("variant", LONG, "variant: 'xxx"),
    ("variant", 3, "variant: Expected `str`, got `int`"),
    ("variant", None, "variant: Expected `str`"),
    ("generator", "dcgan", "generator: Expected `object`"),
    ("generator", {"name": "../x"}, "generator: '../x' cannot be a name"),
    ("generator", {"name": LONG}, "generator: "),
    ("generator", {"options": {}}, "generator: .*`name`"),
    ("generator", {"name": "dcgan", "module": "os"}, "generator: unknown key 'module'"),
    ("generator", {"name": "dcgan", "options": []}, "generator: Expected `object`"),
    ("generator", {"name": "dcgan", "options": {"width": 2**31}}, "generator.width: 2147483648 is out of range"),
    ("generator", {"name": "dcgan", "options": {"width": -(2**63)}}, "generator.width: .* is out of range"),
    ("generator", {"name": "dcgan", "options": {"width": [0] * 2000}}, "generator.width: .* is out of range"),
    ("image", {"size": "16", "channels": 1}, r"image: Expected `int`, got `str` - at `\$.size`"),
    ("image", {"size": True, "channels": 1}, "image: Expected `int`, got `bool`"),
    ("image", {"size": 16.0, "channels": 1}, "image: Expected `int`, got `float`"),
    ("image", {"size": [16], "channels": 1}, "image: Expected `int`, got `array`"),
    ("image", {"size": 0, "channels": 1}, "image: .*out of range"),
    ("image", {"size": -1, "channels": 1}, "image: .*out of range"),
    ("image", {"size": 2**31, "channels": 1}, "image: .*out of range"),
    ("image", {"size": 2**63, "channels": 1}, "image: "),
    ("image", {"size": 16, "channels": 100_000}, "image: .*out of range"),
    ("image", {"size": 16, "channels": 1, "clases": 3}, "image: unknown key 'clases'. Did you mean 'classes'"),
    ("image", {"size": 16}, "image: .*`channels`"),
    ("latent_dim", 0, "latent_dim: 0 is out of range"),
    ("latent_dim", 2**70, "latent_dim: "),
    ("latent_dim", "6", "latent_dim: Expected `int`, got `str`"),
    ("classes", ["a", "b"], "classes: 2 names for the 0 classes"),
    ("classes", "ab", "classes: Expected `array`"),
    ("classes", [1], "classes: Expected `str`"),
    ("provider", {"distribution": "x; rm -rf /", "version": "1"}, "provider: 'x; rm -rf /' cannot name"),
    ("provider", {"distribution": "-r", "version": "1"}, "provider: '-r' cannot name"),
    ("provider", {"distribution": "x", "version": "1\n2"}, "provider: .*one line"),
    ("provider", {"distribution": "x"}, "provider: .*`version`"),
    ("license", "a\x1b[2Jb", "license: .*one line"),
    ("license", LONG, "license: .*one line"),
    ("license", 1, "license: Expected `str`"),
    ("weights", None, "weights: is missing"),
    ("weights", RIGHT["weights"] | {"file": "../model.safetensors"}, "weights: .*file"),
    ("weights", RIGHT["weights"] | {"file": "discriminator.safetensors"}, "weights: must name model.safetensors"),
    ("weights", RIGHT["weights"] | {"size": -1}, "weights: must name"),
    ("weights", RIGHT["weights"] | {"size": 2**62}, "weights: must name"),
    ("weights", RIGHT["weights"] | {"sha256": "A" * 64}, "weights: must name"),
    ("weights", RIGHT["weights"] | {"sha256": "0" * 64 + "\n"}, "weights: must name"),
    ("weights", RIGHT["weights"] | {"dtype": "float64"}, "weights: Invalid enum value 'float64'"),
    ("weights", RIGHT["weights"] | {"url": "http://x"}, "weights: unknown key 'url'"),
    ("discriminator_weights", RIGHT["weights"] | {"file": "discriminator.safetensors"}, "discriminator: is missing"),
    ("training", [], "training: Expected `object`"),
    ("metrics", {"frechet": "3"}, "metrics: Expected `float`"),
    ("metrics", {"a\nb": 3.0}, "metrics: .*one line"),
    ("auto_map", {"AutoModel": "model.Model"}, "auto_map: unknown key"),
    ("trust", 1, "trust: unknown key"),
    ("licens", "MIT", "licens: unknown key. Did you mean 'license'"),
    (LONG, 1, r"'xxx.*\.\.\.x+': unknown key"),
    ("a\nb", 1, r"'a\\nb': unknown key"),
]


def test_the_key_of_older_models_is_read(tmp_path):
    """Models published before its key was called `license` have `licence` in its place."""
    (tmp_path / "config.json").write_text(PLAIN.replace('"license"', '"licence"'))
    config = read_model_config(tmp_path / "config.json")
    assert config.license == "MIT" and '"license": "MIT"' in config.as_json()
    (tmp_path / "config.json").write_text(PLAIN.replace('"license"', '"licence": "GPL", "license"'))
    with pytest.raises(CheckpointError, match="licence: unknown key"):
        read_model_config(tmp_path / "config.json")


def test_the_right_one_is_taken_so_that_the_wrong_ones_mean_something(tmp_path):
    (tmp_path / "config.json").write_text(PLAIN)
    config = read_model_config(tmp_path / "config.json")
    assert (
        config.generator.options == {"latent_dim": 6, "width": 4}
        and config.classes == ()
        and config.weights.size == 1000
    )
    assert checked_config(json.loads(config.as_json()), "config.json") == config


@pytest.mark.parametrize("name", TEXTS)
def test_texts(tmp_path, name):
    content, reason = TEXTS[name]
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as refused:
        read_model_config(path)
    assert str(path) in str(refused.value) and str(refused.value).isprintable() and len(str(refused.value)) < 600


@pytest.mark.parametrize(("key", "value", "reason"), VALUES, ids=lambda item: str(item)[:30])
def test_values(key, value, reason):
    with pytest.raises(CheckpointError, match=f"^config.json: {reason}") as refused:
        checked_config(copy.deepcopy(RIGHT) | {key: value}, "config.json")
    assert str(refused.value).isprintable() and len(str(refused.value)) < 600


@pytest.mark.parametrize("key", [key for key in RIGHT if key != "format"])
def test_what_is_missing_is_named(key):
    with pytest.raises(CheckpointError, match=f"^config.json: {key}: is missing"):
        checked_config({name: value for name, value in RIGHT.items() if name != key}, "config.json")


# -- what only the generator can tell ---------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "good"
    lively_model().save(folder)
    return folder


HOSTILE = {
    "huge width": ({"generator__options": {"latent_dim": 6, "width": 2**20}}, "tensors differ"),
    "huge everything": (
        {"generator__options": {"latent_dim": 2**20, "width": 2**20}, "latent_dim": 2**20, "image__size": 4096},
        "differ|generator: ",
    ),
    "no width": ({"generator__options": {"latent_dim": 6, "width": 0}}, "differ|generator: "),
    "negative width": ({"generator__options": {"latent_dim": 6, "width": -4}}, "generator.width: -4 is negative"),
    "wrong type": ({"generator__options": {"width": "4"}}, "generator.width: Expected `int`, got `str`"),
    "bool": ({"generator__options": {"width": True}}, "generator.width: Expected `int`, got `bool`"),
    "unknown option": ({"generator__options": {"widht": 4}}, "generator.widht: unknown option. Did you mean 'width'"),
    "size 3": ({"image__size": 3}, "generator: .*must be 16, 32, 48, 64, 80"),
    "other size": ({"image__size": 32}, "tensors? differ"),
    "other channels": ({"image__channels": 3}, "tensors? differ"),
    "another variant's generator": (
        {"generator": {"name": "infogan", "options": {}}, "variant": "infogan", "image__size": 28},
        "latent_dim: |differ",
    ),
    "latents": ({"latent_dim": 7}, "latent_dim: 7, but the generator takes 6"),
    "a part of another kind": (
        {"generator": {"name": "non-saturating", "options": {}}},
        "generator: No generator is called",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_settings_end_before_anything_is_allocated(saved, tmp_path, name):
    import shutil

    changes, reason = HOSTILE[name]
    folder = shutil.copytree(saved, tmp_path / "model")
    edit_config(folder, **changes)
    child = os.fork()
    if child == 0:
        os._exit(within_limits(folder))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(CheckpointError, match=reason) as refused:
        ganzoo.load(folder)
    assert "config.json" in str(refused.value) and str(refused.value).isprintable()


def within_limits(folder) -> int:
    """0 if loading is refused with 500 MB of address space to spare and less than 50 MB used."""
    try:
        if sys.platform == "linux":
            pages, resident = (
                int(number) * resource.getpagesize() for number in open("/proc/self/statm").read().split()[:2]
            )
            resource.setrlimit(resource.RLIMIT_AS, (pages + 500 * 2**20,) * 2)
        ganzoo.load(folder)
    except CheckpointError:
        if sys.platform != "linux":
            return 0
        return 0 if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident < 50 * 2**20 else 2
    except BaseException:
        return 1
    return 3
