"""The block on callbacks of docs/tracking.md runs, shortened, and names nothing but the public API."""

import re

from paths import DOCS

PAGE = (DOCS / "tracking.md").read_text(encoding="utf-8")


def test_the_callback_of_the_page_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = [text for text in re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S) if "callbacks=" in text]
    assert set(re.findall(r"^(?:import|from) ([\w.]+)", block, re.M)) == {"ganzoo"}
    names: dict = {}
    exec(compile(block.replace("steps=500", "steps=4, batch_size=8"), "docs/tracking.md", "exec"), names)
    assert names["seen"].keys() == {4} and names["run"].step == 4


def test_the_page_names_no_internal_request():
    assert "runs.request" not in PAGE and "runs.train" not in PAGE
