"""Settings of the command line, and config.json files of others: every mistake is one line that names it."""

import json
import random

import pytest
import small
import torch

import ganzoo
from ganzoo import Part, Schedule, Training, Variant
from ganzoo.config.schema import LARGEST_OPTION, as_json, read_run_config
from ganzoo.config.settings import resolve
from ganzoo.errors import CheckpointError, GanzooError, UsageError
from ganzoo.registry.registry import registry

resource = pytest.importorskip("resource")
hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

# -- settings --------------------------------------------------------------------------------------------------------


def resolved(*settings):
    return resolve(registry().get("variants", "dcgan"), settings, registry()).variant


def test_settings_change_what_they_name_and_nothing_else():
    before, after = (
        as_json(registry().get("variants", "dcgan")),
        as_json(resolved("training.generator_lr=1", "generator.width=8")),
    )
    assert after["training"].pop("generator_lr") == 1.0 and after["generator"].pop("options") == {"width": 8}
    before["training"].pop("generator_lr"), before["generator"].pop("options")
    assert after == before


def test_a_part_can_be_exchanged_and_then_set():
    variant = resolved(
        "loss=least-squares",
        "loss.a=-1",
        "training.optimizer_options.betas=[0,0.9]",
        "training.schedules.ema.to_value=0.9",
        "training.ema=0.5",
    )
    assert variant.loss == Part("least-squares", {"a": -1})
    assert variant.training.optimizer_options == {"betas": [0, 0.9]}
    assert variant.training.schedules == {"ema": Schedule(to_value=0.9)}


def test_the_name_of_a_schedule_may_have_dots():
    assert resolved("training.schedules.loss.a.to_value=0.5").training.schedules == {"loss.a": Schedule(to_value=0.5)}
    changed = resolved(
        'training.schedules.loss.a={"to_value": 2, "shape": "cosine"}', "training.schedules.loss.a.from_fraction=0.25"
    )
    assert changed.training.schedules == {"loss.a": Schedule(to_value=2.0, shape="cosine", from_fraction=0.25)}
    with pytest.raises(
        UsageError,
        match=r"training\.schedules\.loss\.a\.to_vale: .*to_value, .*'to_value'",
    ):
        resolved("training.schedules.loss.a.to_vale=0.5")


MISTAKES = {
    "training.generator_lrr=1": "training.generator_lrr: unknown key. Did you mean 'generator_lr'?",
    "trainin.steps=1": "Did you mean 'training'?",
    "zzz=1": "unknown key. Known: training.<field>",
    "generator.widht=1": "generator.widht: unknown option. Did you mean 'width'?",
    "generator.width=wide": "generator.width: Expected `int`, got `str`",
    "generator.width=true": "generator.width: Expected `int`, got `bool`",
    "generator.width=99999999999": f"generator.width: 99999999999 is out of range (numbers up to {LARGEST_OPTION})",
    "generator.width.deep=1": "generator.width: Expected `int`, got `object`",
    "generator=dcgann": "No generator is called 'dcgann'. Did you mean 'dcgan'?",
    "generator=Big Name": "cannot be a name",
    "loss=wasserstien": "No loss is called 'wasserstien'",
    "augmentation.p=1": "has no augmentation; choose one with augmentation=<name>",
    "regularizers.r1.weight=1": "has no regularizer 'r1'",
    "regularizers.r1=1": "say which: regularizers.<name>.<option>=value",
    "training=1": "say which: training.<field>=value",
    "training.steps": "write it as path=value",
    "=1": "a part of the path is empty",
    "generator..width=1": "a part of the path is empty",
    "training.steps=0": "training.steps: must be at least 1, got 0",
    "training.steps=1.5": "Expected `int`, got `float`",
    "training.ema=1": "training.ema: must be at least 0 and below 1, got 1",
    "training.generator_lr=NaN": "training.generator_lr: must be at least 0, got nan",
    "training.generator_lr=Infinity": "training.generator_lr: must be at least 0, got inf",
    "training.generator_lr=nan": "training.generator_lr: must be at least 0, got nan",
    "training.ema=-inf": "training.ema: must be at least 0 and below 1, got -inf",
    "training.generator_lr=-1": "must be at least 0, got -1",
    "training.optimizer=adm": "no optimizer is called 'adm'. Did you mean 'adam'?",
    "training.optimizer_options.beta=1": "unknown option of adam. Did you mean 'betas'?",
    "training.steps.x=1": "training.steps is one value, it has no 'x'",
    "training.schedules.ema.shape=round": "training.schedules.ema",
    'training.schedules.ema={"to_value": 0.5, "shape": "steps"}': "schedules.ema: milestones and the shape steps",
    'training.schedules.ema={"to_value": 0.5, "milestones": [0.5]}': "schedules.ema: milestones and the shape steps",
    'training.schedules.ema={"to_value": 0.5, "shape": "steps", "milestones": [2]}': "must be fractions",
    "training.optimizer_options=" + "[" * 100_000: "the value is nested too deep",
}


@pytest.mark.parametrize("setting", MISTAKES, ids=[setting[:40] for setting in MISTAKES])
def test_a_mistake_is_named(setting):
    with pytest.raises(UsageError) as error:
        resolved(setting)
    assert MISTAKES[setting] in str(error.value)
    assert len(str(error.value)) < 700


def test_an_optimizer_for_all_roles_is_one_mistake():
    with pytest.raises(UsageError) as error:
        resolved("training.optimizer=adma")
    assert str(error.value).count("adma") == 1 and "training.optimizer: " in str(error.value)
    with pytest.raises(UsageError) as error:
        resolved("training.optimizer=adma", "training.loss_optimizer=adma")
    assert str(error.value).count("adma") == 2 and "training.loss_optimizer: " in str(error.value)


def test_all_mistakes_are_reported_at_once():
    with pytest.raises(UsageError) as error:
        resolved(
            "training.stepz=1",
            "generator.widht=2",
            "discriminator.widht=2",
            "training.batch_size=0",
            "loss=lsgn",
            "x=1",
        )
    lines = str(error.value).splitlines()
    assert lines[0] == "6 settings cannot be used:" and len(lines) == 7


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(
    st.text(max_size=30),
    st.sampled_from(["training.", "generator.", "loss", "regularizers.a.", ""]),
    st.text(max_size=20),
)
def test_no_setting_ends_in_anything_but_a_line(path, head, value):
    try:
        found = resolved(f"{head}{path}={value}")
    except UsageError as error:
        assert str(error).startswith(
            ("A setting cannot be used: ", "2 settings cannot be used:\n", "3 settings cannot be used:\n")
        )
    else:
        assert isinstance(found, Variant)


# -- config.json from outside -----------------------------------------------------------------------------------------


def plain_config() -> dict:
    variant = Variant(
        name="dcgan",
        summary="A test.",
        paper="https://example.org",
        year=2015,
        sizes=(32,),
        training=Training(steps=1),
        generator=Part("dcgan", {"width": 4}),
        discriminator=Part("dcgan", {"width": 4}),
        loss=Part("non-saturating"),
    )
    data = {"source": "x.npz", "name": "x", "fingerprint": "0", "revision": None, "images": 4, "classes": ["a", "b"]}
    return json.loads(
        json.dumps(
            {
                "format": 1,
                "variant": as_json(variant),
                "plugin": {"name": "ganzoo:dcgan", "distribution": "ganzoo", "version": "0.1.0"},
                "image": {"size": 32, "channels": 1, "classes": 0},
                "data": data,
                "seed": 0,
                "precision": "fp32",
                "processes": 1,
                "device": "cpu",
                "threads": 1,
                "versions": {"ganzoo": "0.1.0"},
            }
        )
    )


def read(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_run_config(path)


def test_a_good_config_is_read_as_it_was_written(tmp_path):
    found = read(tmp_path, plain_config())
    assert json.loads(json.dumps(found.to_json())) == plain_config()
    assert found.variant.generator.options == {"width": 4}
    assert read(tmp_path, plain_config() | {"plugin": {"name": "old"}}).plugin.distribution == ""


def test_a_config_with_the_first_names_of_a_schedules_fields_is_read(tmp_path):
    config = plain_config()
    old = {"end": 2.0, "start": None, "begin": 0.25, "finish": 0.5, "shape": "cosine"}
    config["variant"]["training"]["schedules"] = {"generator_lr": old}
    found = read(tmp_path, config).variant
    new = Schedule(to_value=2.0, from_fraction=0.25, to_fraction=0.5, shape="cosine")
    assert found.training.schedules == {"generator_lr": new}
    old["to_value"] = 3.0
    with pytest.raises(CheckpointError, match="unknown key 'end'|to_value"):
        read(tmp_path, config)


BYTES = {
    "empty": b"",
    "text": b"width: 8",
    "bom": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "latin": b'{"a": "\xe9"}',
    "twice": b'{"format": 1, "format": 1}',
    "nan": b'{"format": NaN}',
    "overflow": b'{"format": 1e400}',
    "digits": b'{"format": ' + b"9" * 5000 + b"}",
    "nested": b"[" * 100_000 + b"]" * 100_000,
    "large": b" " * (2**20 + 1),
    "list": b"[]",
    "null": b"null",
    "number": b"3",
    "cut": b'{"format": 1',
}


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_config_is_one_line(tmp_path, name):
    with pytest.raises(CheckpointError) as error:
        read(tmp_path, BYTES[name])
    assert "config.json" in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 500


CHANGES = [
    ("format", 2, "update ganzoo"),
    ("format", True, "not the configuration"),
    ("format", 1.0, "not the configuration"),
    ("auto_map", {"AutoModel": "os.system"}, "unknown key 'auto_map'"),
    ("seeed", 1, "Did you mean 'seed'?"),
    ("variant", None, "variant"),
    ("variant.name", "../../x", "cannot be a name"),
    ("variant.name", "os:system", "cannot be a name"),
    ("variant.name", 5, "Expected `str`"),
    ("variant.generator.name", "__class__", "cannot be a name"),
    ("variant.generator.options.width", 2**31, "variant.generator.width: 2147483648 is out of range"),
    ("variant.generator.options.widths", [1] * 1001, "out of range"),
    ("variant.training.batch_size", -1, "must be at least 1"),
    ("variant.training.batch_size", "4", "Expected `int`"),
    ("variant.training.batch_size", True, "Expected `int`"),
    ("variant.training.steps", 1.5, "Expected `int`"),
    ("variant.training.speed", 1, "unknown key 'speed'"),
    ("variant.training.optimizer", "os.system", "no optimizer is called"),
    ("variant.sizes", [2**31], "must be 1 to 4096"),
    ("variant.sizes", [], "supports no image size"),
    ("variant.weights", {}, None),
    ("variant.generator.code", "import os", "unknown key 'code'"),
    ("image.size", 0, "out of range"),
    ("image.size", 2**63, "image"),
    ("image.channels", 10**5, "out of range"),
    ("image.classes", -1, "out of range"),
    ("image.size", None, "Expected `int`"),
    ("image.depth", 3, "unknown key 'depth'"),
    ("seed", -1, "out of range"),
    ("seed", 2**64, "seed"),
    ("threads", 10**6, "out of range"),
    ("precision", "fp8", "precision"),
    ("data", [], "data"),
    ("data.classes", [1], "Expected `str`"),
    ("data.source", None, "Expected `str`"),
    ("versions", {"torch": 2}, "Expected `str`"),
    ("plugin", "x", "plugin"),
    ("device", 1, "Expected `str`"),
]


@pytest.mark.parametrize(
    ("path", "value", "expected"), CHANGES, ids=[f"{path}={str(value)[:12]}" for path, value, _ in CHANGES]
)
def test_a_wrong_value_is_named(tmp_path, path, value, expected):
    config = plain_config()
    *folders, key = path.split(".")
    table = config
    for folder in folders:
        table = table[folder]
    table[key] = value
    if expected is None:
        assert read(tmp_path, config) == read(tmp_path, plain_config())
        return
    with pytest.raises(CheckpointError) as error:
        read(tmp_path, config)
    assert expected in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("key", plain_config())
def test_a_missing_key_is_named(tmp_path, key):
    config = plain_config()
    del config[key]
    with pytest.raises(CheckpointError, match=key if key != "format" else "not the configuration"):
        read(tmp_path, config)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value, path=()):
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


@hypothesis.settings(
    max_examples=400, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.sampled_from([path for path in places(plain_config()) if path]), ANY)
def test_any_value_anywhere_is_read_or_refused_in_one_line(tmp_path, place, value):
    config = plain_config()
    table = config
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = value
    try:
        read(tmp_path, config)
    except CheckpointError as error:
        assert "\n" not in str(error) and len(str(error)) < 700


@hypothesis.settings(
    max_examples=300, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_flipped_byte_is_read_or_refused_in_one_line(tmp_path, position, byte):
    content = bytearray(json.dumps(plain_config()).encode())
    content[position % len(content)] = byte
    try:
        read(tmp_path, bytes(content))
    except CheckpointError as error:
        assert "\n" not in str(error)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of one step."""
    from ganzoo.cli import main

    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        main(small.arguments(small.images(folder / "grey.npz", 8), folder / "run", steps=1))
    assert ended.value.code == 0
    return folder / "run"


HOSTILE = [
    ("generator", {"width": 2**19}),
    ("generator", {"latent_dim": 2**20, "width": 2**19}),
    ("generator", {"widht": 4}),
    ("generator", {"width": 8}),
]


@pytest.mark.parametrize(("role", "options"), HOSTILE, ids=str)
def test_a_config_of_another_network_costs_no_memory(run, role, options):
    path = run / "config.json"
    before = path.read_bytes()
    config = json.loads(before)
    config["variant"][role]["options"] = options
    path.write_text(json.dumps(config))
    try:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(GanzooError) as error:
            ganzoo.load(run)
        assert (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000
        )  # KiB; bytes on macOS, where it holds less
        assert "\n" not in str(error.value)
    finally:
        path.write_bytes(before)
    assert torch.is_tensor(ganzoo.load(run).sample(1))


def test_a_config_with_random_bytes_loads_or_ends_in_one_line(run):
    moves = random.Random(0)
    path = run / "config.json"
    before = path.read_bytes()
    try:
        for _ in range(60):
            content = bytearray(before)
            for _ in range(moves.randint(1, 3)):
                content[moves.randrange(len(content))] = moves.randrange(32, 127)
            path.write_bytes(bytes(content))
            try:
                ganzoo.load(run)
            except GanzooError as error:
                assert "\n" not in str(error)
    finally:
        path.write_bytes(before)
