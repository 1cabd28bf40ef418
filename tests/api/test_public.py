"""What all public functions share: switches that are none are refused, and messages name arguments."""

from __future__ import annotations

import inspect
import json
import logging

import pytest

import ganzoo
from ganzoo.api.public import in_python
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, GanzooError, UsageError


def functions() -> dict[str, object]:
    """The functions of the API, and the methods of its classes, by name."""
    found = {name: getattr(ganzoo, name) for name in ganzoo.__all__}
    plain = {name: one for name, one in found.items() if inspect.isfunction(one)}
    for kind in (ganzoo.Run, ganzoo.OwnLoop, ganzoo.BenchResults):
        plain |= {f"{kind.__name__}.{n}": one for n, one in vars(kind).items() if inspect.isfunction(one)}
    return plain


def switches() -> list[tuple[str, str]]:
    return [
        (name, parameter.name)
        for name, function in functions().items()
        for parameter in inspect.signature(function).parameters.values()
        if str(parameter.annotation) in ("bool", "bool | None")
    ]


@pytest.mark.parametrize(("name", "switch"), switches())
def test_a_switch_takes_no_other_value(name, switch):
    function = functions()[name]
    needed = {p.name: None for p in inspect.signature(function).parameters.values() if p.default is p.empty}
    needed = {key: value for key, value in needed.items() if key not in ("options", "arguments")}
    for value in ("x", 1, 0):
        with pytest.raises(UsageError, match=f"^{switch} is True"):
            function(**{**needed, switch: value})


def test_switches_are_found():
    assert len(switches()) >= 12 and ("load", "average") in switches()


@pytest.mark.parametrize(
    ("message", "arguments", "said"),
    [
        ("--image-size 33: no", ("image_size",), "image_size 33: no"),
        ("use --batch-size 2 or more", ("batch_size",), "use batch_size 2 or more"),
        ("leave out --with and --no-average.", ("mixins", "average"), "leave out mixins and average=False."),
        ("(--set source.factor=4)", ("overrides",), '(overrides={"source.factor": 4})'),
        ("--set a.b=..., now 2", ("overrides",), 'overrides={"a.b": ...}, now 2'),
        ("Fix it: --set a.b=null.", ("overrides",), 'Fix it: overrides={"a.b": null}.'),
        ("Go on with --out runs/x --resume.", ("out",), 'Go on with ganzoo.open_run("runs/x").resume().'),
        ("Use `ganzoo train --out 'my runs/x' --resume`.", (), 'Use ganzoo.open_run("my runs/x").resume().'),
        (
            "x holds a run: add --resume or take another --out.",
            ("out",),
            "x holds a run: use Run.resume or take another out.",
        ),
        ("`ganzoo convert x --out FOLDER` makes it", (), "`ganzoo convert x --out FOLDER` makes it"),
        ("a - b -- c --d e--f", ("d", "f"), "a - b -- c --d e--f"),
    ],
)
def test_a_message_names_arguments(message, arguments, said):
    assert in_python(message, arguments) == said


def test_python_reads_an_argument_where_the_shell_reads_an_option(tmp_path, capsys):
    with pytest.raises(UsageError) as refused:
        ganzoo.train("dcgan", data="fashion-mnist-test", out=tmp_path / "run", image_size=33)
    assert "image_size" in str(refused.value) and "--" not in str(refused.value)
    words = ["train", "dcgan", "--data", "fashion-mnist-test", "--out", str(tmp_path / "run"), "--image-size", "33"]
    with pytest.raises(SystemExit):
        main(words)
    assert "--image-size" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ganzoo.train("points", data="ring", out=tmp_path_factory.mktemp("runs") / "run", steps=2, batch_size=8)


def test_a_model_is_no_run(run, tmp_path, capsys):
    ganzoo.load(run).save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="model and no run"):
        ganzoo.open_run(tmp_path / "model")
    with pytest.raises(SystemExit):
        main(["curves", str(tmp_path / "model")])
    assert "model and no run" in capsys.readouterr().err
    with pytest.raises(GanzooError, match="config.json"):
        ganzoo.open_run(tmp_path)


DAMAGED = [
    "{",
    "[1]",
    json.dumps({"step": 2, "terms": "none"}),
    json.dumps({"step": 2, "terms": {"a.b": [1]}}),
    json.dumps({"step": 2, "samples": {"diversity": "high"}}),
    json.dumps({"step": 2, "images": "8", "terms": {}}),
]


@pytest.mark.parametrize("line", DAMAGED)
def test_damaged_records_are_left_out_with_a_warning(run, tmp_path, caplog, line):
    rows = run.metrics()
    path = run.folder / "metrics.jsonl"
    whole = path.read_text()
    try:
        path.write_text(line + "\n" + whole)
        with caplog.at_level(logging.WARNING, "ganzoo"):
            assert run.metrics() == rows
        assert "1 damaged line:" in caplog.text
        caplog.clear()
        with pytest.raises(SystemExit) as ended:
            main(["curves", str(run.folder), "--out", str(tmp_path / "curves.html")])
        assert ended.value.code == 0 and "1 damaged line:" in caplog.text
        caplog.clear()
        path.write_text(whole + "{")  # as a crash leaves it
        assert run.metrics() == rows and not caplog.text
    finally:
        path.write_text(whole)
