"""Every warning of a training, and every end with exit code 3, names a section of the page on what to do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from paths import ROOT

from ganzoo.errors import ADVICE, SEE_OTHER, DivergedError, advice
from ganzoo.runs.collapse import SATURATED_FOR, CollapseDetector, advice_on

# The modules of a training that warn, and those whose warnings the loop prints.
MODULES = sorted(
    [
        *(ROOT / "ganzoo" / "runs").glob("*.py"),
        *(ROOT / "ganzoo" / "engine").glob("*.py"),
        ROOT / "ganzoo" / "models" / "config.py",
        ROOT / "ganzoo" / "api" / "trainers.py",
    ]
)
FORWARDED = {"loop.py:run", "loop.py:_report_problem"}  # they print lines that others made


def sections() -> dict[str, str]:
    """The sections of the page by the anchors that a browser gives them."""
    page = (ROOT / ADVICE).read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)[1:]
    return {
        re.sub(r"[^a-z0-9 ]", "", title.lower()).replace(" ", "-"): text
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def is_warning(call: ast.Call) -> bool:
    """True of log.warning(...) and of say("Warning: ..."); a forwarded line is a variable."""
    if not isinstance(call.func, ast.Attribute):
        return False
    return call.func.attr == "warning" or (call.func.attr == "say" and "Warning" in ast.unparse(call))


def warnings() -> list[tuple[str, str, ast.Call]]:
    """The place, the text of the function around it, and the call of each warning."""
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and is_warning(node):
                    found.append((f"{path.name}:{function.name}", constants(function), node))
    return found


def constants(node: ast.AST) -> str:
    """All texts in a piece of code, one a line."""
    return "\n".join(n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def test_all_warnings_are_found():
    assert len(warnings()) >= 11
    assert {place.partition(":")[0] for place, *_ in warnings()} >= {"loop.py", "folder.py", "tracking.py", "build.py"}


def test_each_warning_of_a_training_names_a_section():
    for place, function, call in warnings():
        code = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        assert code & {"SEE_OTHER", "advice_on", "cannot"}, (place, function)  # `cannot` holds SEE_OTHER


def test_sections_that_are_named_exist():
    named = {SEE_OTHER.removeprefix("see ")}
    for path in [*MODULES, ROOT / "ganzoo" / "errors.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "advice":
                texts = [one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)]
                named |= {advice(text) for text in texts if text[0].isupper()}
    assert len(named) >= 4
    for place in named:
        page, _, anchor = place.partition("#")
        assert Path(page) == Path(ADVICE) and anchor in sections(), place


def test_each_symptom_names_its_section():
    detector = CollapseDetector()
    saturated = [detector.check_terms({"discriminator.real": 0.0}, {"discriminator"}) for _ in range(SATURATED_FOR)][-1]
    alike = [detector.check_samples(step, 0.01) for step in (500, 600)][-1]
    assert saturated and advice_on(saturated).endswith("#the-discriminator-has-won")
    assert alike and advice_on(alike).endswith("#samples-are-all-alike")


def test_the_page_explains_each_other_warning_by_what_it_prints():
    table = re.findall(r"^\| `([^`]+)` \| \S", sections()["other-warnings"], flags=re.MULTILINE)
    functions = {place: text for place, text, _ in warnings() if place not in FORWARDED}
    assert len(table) >= 9
    for place, text in functions.items():
        assert any(row in text for row in table), place
    for row in table:
        assert any(row in text for text in functions.values()), row


def test_a_loop_of_ones_own_names_the_section_too(tmp_path):
    import ganzoo

    trainer = ganzoo.create_trainer("points", data="ring", batch_size=8, steps=5, seed=0)
    trainer.step()
    trainer._terms = {"discriminator.real": float("nan")}
    with pytest.raises(DivergedError, match="real.*numbers-explode"):
        trainer.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()
