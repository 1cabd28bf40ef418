"""What the documentation says is executed, or held against the code."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import forks
import pytest
import small
from paths import ROOT
from quoted_lines import QUOTE, places

import ganzoo
from ganzoo.registry import hookspecs
from ganzoo.registry.registry import KINDS

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md", *(ROOT / "docs").rglob("*.md")])
VARIANT_PAGES = sorted((ROOT / "docs" / "variants").glob("*.md"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def test_every_hook_is_documented_with_its_exact_arguments():
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^## (register_\w+\(.*\))$", page, re.M))
    specified = {
        f"register_{kind}({', '.join(inspect.signature(getattr(hookspecs, f'register_{kind}')).parameters)})"
        for kind in KINDS
    }
    assert documented == specified


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run that the README's Python block loads, made by its first command on smaller networks."""
    folder = tmp_path_factory.mktemp("readme")
    command = [
        "train",
        "dcgan",
        "--data",
        "fashion-mnist-test",
        "--image-size",
        "32",
        "--steps",
        "2",
    ]
    command += ["--set", "generator.width=8", "--set", "discriminator.width=8", "--threads", "1", "--out", "runs/first"]
    assert small.forked_ganzoo(*command, cwd=folder, GANZOO_CACHE=str(folder / "cache")).returncode == 0
    return folder


def test_readme_python_block_runs(trained):
    code = next(block for block in blocks(README, "python") if "ganzoo.load" in block)
    code += "\nassert images.shape == (16, 1, 32, 32) and images.abs().max() <= 1\n"
    done = forks.python("-c", code, cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "wgan-gp" in done.stdout


@pytest.mark.process
def test_readme_plugin_installs_lists_and_trains(trained):
    files = {}
    for block in blocks(README, "toml") + blocks(README, "python"):
        name = re.match(r"# (\S+\.(?:toml|py))\n", block)
        if name:
            files[name[1]] = block
    assert sorted(files) == ["ganzoo_hinge/__init__.py", "ganzoo_hinge/model.py", "pyproject.toml"]
    code = [line for text in files.values() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 55
    source, target = trained / "ganzoo-hinge", trained / "site"
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "GANZOO_CACHE": str(trained / "cache")}
    run = [sys.executable, "-m", "ganzoo"]
    listed = subprocess.run([*run, "list"], env=environment, cwd=trained, capture_output=True, text=True, check=True)
    assert re.search(r"^hinge-gan .*\[ganzoo-hinge 0\.1\.0\]$", listed.stdout, re.M)
    card = [*run, "check", "hinge-gan", "--only", "card"]
    assert subprocess.run(card, env=environment, cwd=trained, capture_output=True).returncode == 0
    options = [
        "--data",
        "fashion-mnist-test",
        "--image-size",
        "32",
        "--steps",
        "2",
        "--batch-size",
        "8",
        "--set",
        "loss.margin=2",
    ]
    options += ["--set", "generator.width=8", "--set", "discriminator.width=8", "--threads", "1", "--out", "runs/hinge"]
    done = subprocess.run(
        [*run, "train", "hinge-gan", *options], env=environment, cwd=trained, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert '"margin": 2' in (trained / "runs" / "hinge" / "config.json").read_text()


def test_links_lead_somewhere():
    targets = {
        (page, to) for page in PAGES for to in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8"))
    }
    assert len(targets) > 100
    assert [(page.name, target) for page, target in targets if not (page.parent / target).exists()] == []


def test_variant_pages_point_at_the_lines_they_quote():
    assert len(VARIANT_PAGES) > 15
    wrong = []
    for page in VARIANT_PAGES:
        quotes = list(QUOTE.finditer(page.read_text(encoding="utf-8")))
        assert len(quotes) >= 7, page
        for quote in quotes:
            found = places(quote["code"], page.parent / quote["path"])
            if quote["shown"] != quote["line"] or int(quote["line"]) not in found:
                wrong.append(f"{page.name}: `{quote['code']}` is at {found} of {quote['path']}, not at {quote['line']}")
    assert not wrong, "\n".join([*wrong, "python tests/support/quoted_lines.py writes the numbers"])


def test_no_page_tells_to_install_the_strangers_package():
    for page in PAGES:
        assert not re.search(r"pip install (-\S+ )*[\"']?ganzoo[\"'\[\s`]", page.read_text(encoding="utf-8")), page


def test_the_page_of_variants_has_every_one():
    """Each with its year, in the row of its page; the README says how many there are."""
    page = (ROOT / "docs" / "variants.md").read_text(encoding="utf-8")
    rows = {row.split("](variants/")[1].partition(".md")[0]: row for row in page.splitlines() if "](variants/" in row}
    assert rows.keys() == {one.stem for one in VARIANT_PAGES}
    names = [name for row in rows.values() for name in re.findall(r"`([^`]+)`", row)]
    variants = {variant.name: variant for variant in ganzoo.variants()}
    assert sorted(names) == sorted(variants)
    for row in rows.values():
        first = variants[re.findall(r"`([^`]+)`", row)[0]]
        assert f"| {first.year} |" in row
    assert f"shows {len(variants)} variants" in README


def test_the_site_has_every_page():
    """Each page of docs/ is in the navigation once, or Sphinx warns; here without building the site."""
    folder = ROOT / "docs"
    pages = {page.relative_to(folder).with_suffix("").as_posix() for page in folder.rglob("*.md")}
    found = []
    for page in pages:
        text = (folder / f"{page}.md").read_text(encoding="utf-8")
        for tree in re.findall(r"```{toctree}\n(.*?)```", text, re.S):
            names = [
                re.sub(r".*<(.*)>", r"\1", line) for line in tree.splitlines() if line and not line.startswith(":")
            ]
            found += [(Path(page).parent / name).as_posix() for name in names]
    assert sorted(found) == sorted(pages - {"index"})
