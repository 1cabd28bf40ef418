"""report.html and report.md: the same numbers, nothing from outside, and no name that is more than text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from bench_rows import PROTOCOL, other_protocol, plausible, row, write

from ganzoo.bench.report import svg as charts
from ganzoo.bench.report.markup import clean, tag
from ganzoo.bench.report.write import write_report
from ganzoo.errors import CheckpointError


class Page(HTMLParser):
    """Every element with its attributes, the text of table cells, and what is left open."""

    VOID = {"meta", "img"}

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.open, self.rows, self.crossed = [], [], [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name == "tr":
            self.rows.append([])
        if name in ("td", "th"):
            self.rows[-1].append("")
        if name not in self.VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if self.open.pop() != name:
            self.crossed.append(name)

    def handle_data(self, data):
        if "table" in self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def named(self, name):
        return [attributes for found, attributes in self.elements if found == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = write(tmp_path_factory.mktemp("bench"), plausible(), PROTOCOL, other_protocol())
    write_report(place)
    return place


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


@pytest.fixture(scope="module")
def markdown(folder):
    return (folder / "report.md").read_text(encoding="utf-8")


def test_every_element_is_closed(page):
    assert not page.open and not page.crossed


def test_nothing_is_fetched(page, text):
    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data")
    ]
    assert len(addresses) > 10 and all(value.startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert not page.named("link") and not page.named("iframe") and "url(" not in text and "@import" not in text
    policy = next(meta["content"] for meta in page.named("meta") if meta.get("http-equiv"))
    assert "default-src 'none'" in policy and "unsafe" not in policy


def test_a_hostile_name_is_only_text(page, text):
    assert [attributes for attributes in page.named("script")] == [{}]  # ours alone, and without an address
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)" in text and "\u202e" not in text


def test_a_hostile_name_is_only_text_in_markdown_too(markdown):
    line = next(line for line in markdown.splitlines() if "alert" in line)
    assert r"\<script\>alert(1)\</script\>" in line and r"\[a\](b)" in line
    assert len(re.findall(r"(?<!\\)\|", line)) == 8  # seven columns


def test_markup_escapes_attributes_and_control_characters():
    assert (
        tag("p", 'a<b>&"\x00\ud800', title="'\"><x>\n")
        == '<p title="&#x27;&quot;&gt;&lt;x&gt; ">a&lt;b&gt;&amp;&quot;\ufffd\ufffd</p>'
    )
    assert clean("line\none\u2066") == "line one\ufffd"


def test_both_files_have_the_same_tables(page, markdown):
    def bare(cell: str) -> str:
        return re.sub(r"\\(.)", r"\1", cell.replace("<br>", "")).strip()

    lines = [
        line
        for line in markdown.splitlines()
        if line.startswith("|") and "---" not in line and "![" not in line and "picture" not in line
    ]
    theirs = [[bare(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    ours = [[cell.strip() for cell in row] for row in page.rows]
    assert len(ours) > 40 and [row for row in theirs if row in ours] == [
        row for row in theirs if "seed 0" not in row[0] and "seed 1" not in row[0]
    ]
    assert all(row in theirs for row in ours)


def test_failures_stand_beside_the_number_of_seeds(page):
    shown = {
        row[0]: row[1:] for row in reversed(page.rows) if len(row) == 7 and row[1].isdigit()
    }  # the first section's stay
    assert shown["lsgan"][1] == "41 diverged" and shown["lsgan"][4].endswith("3 of 4 seeds")
    assert shown["dcgan"][1] == "41 collapsed"
    failed = next(row for row in page.rows if row[0] == "r3gan")
    assert failed[1:4] == ["–", "11 failed", "–no score"]
    assert ["r3gan", "0", "failed", "Error: no room for 3 GiB."] in page.rows


def test_a_number_that_only_some_variants_can_have_is_a_column_with_dashes(tmp_path):
    rows = [row("infogan", 0, [30, 20]), row("dcgan", 0, [40, 25]), row("r3gan", 0, [], status="failed")]
    write(tmp_path, rows)
    write_report(tmp_path)
    assert "agreement" not in (tmp_path / "report.md").read_text()
    for state in (rows[0]["best"], rows[0]["final"]):
        state["scores"] = state["scores"] | {"code-agreement[fashion-cnn]": 0.625}
    write(tmp_path, rows)
    write_report(tmp_path)
    found = [one for one in Page((tmp_path / "report.html").read_text()).rows if len(one) > 10]
    place = next(place for place, title in enumerate(found[0]) if title.strip() == "code-agreement[fashion-cnn] ↑")
    assert {one[0]: one[place] for one in found[1:4]} == {"infogan": "0.6250", "dcgan": "–", "r3gan": "–no score"}
    assert "| code-agreement\\[fashion-cnn\\] ↑ |" in (tmp_path / "report.md").read_text()


def test_protocols_are_apart_and_their_differences_named(page, markdown):
    assert ["images", "10000", "2000"] in page.rows and ["libraries.torch", '"2.13.0"', '"2.11.0"'] in page.rows
    sections = markdown.split("\n## ")
    trained = next(part for part in sections if part.startswith("fashion-mnist: trained with 128,000 images"))
    assert "15.20" not in trained and "15.20" in next(
        part for part in sections if part.startswith("fashion-mnist: pretrained")
    )


def test_an_absent_protocol_is_said(tmp_path):
    write(tmp_path, [row("dcgan", 0, [9.0]), row("vae", 0, [8.0], protocol=other_protocol())], PROTOCOL)
    write_report(tmp_path)
    assert "their differences are unknown" in (tmp_path / "report.md").read_text()


def test_tables_sort_by_keyboard_and_know_their_values(page, text):
    headers = [attributes for name, attributes in page.elements if name == "th" and attributes.get("scope") == "col"]
    assert len(page.named("button")) > 30 and all(button["type"] == "button" for button in page.named("button"))
    assert len(headers) == len(page.named("button")) + 3  # the list of differences does not sort
    assert [cell["data-value"] for cell in page.named("td") if "data-value" in cell].count("1") >= 2
    assert all(
        region["tabindex"] == "0" and region["aria-label"]
        for region in page.named("div")
        if region.get("class") == "scroll"
    )
    assert "aria-sort" in text


def test_light_dark_paper_and_phone_are_thought_of(text):
    for part in ("prefers-color-scheme: dark", "@media print", 'name="viewport"', "max-width: 600px"):
        assert part in text


def test_pictures_come_from_the_folder_alone(folder, page, markdown):
    images = page.named("img")
    assert len(images) == 4 * 3 + 1 + 2 and all(image["alt"].startswith("samples of ") for image in images)
    assert "No picture: not a .png of this folder." in (folder / "report.html").read_text()
    assert "![dcgan, seed 0](samples/dcgan-fashion-mnist-seed0.png)" in markdown


@pytest.mark.parametrize("content", [None, b"GIF89a", b""], ids=["missing", "another format", "empty"])
def test_a_picture_that_is_none_is_said(tmp_path, content):
    write(tmp_path, [row("dcgan", 0, [9.0], samples="samples/a.png")])
    (tmp_path / "samples" / "a.png").unlink()
    if content is not None:
        (tmp_path / "samples" / "a.png").write_bytes(content)
    write_report(tmp_path)
    assert (
        f"No picture: {'missing' if content is None else 'not a PNG file'}." in (tmp_path / "report.html").read_text()
    )


def test_a_link_out_of_the_folder_is_no_picture(tmp_path):
    bench = write(tmp_path / "bench", [row("dcgan", 0, [9.0], samples="samples/a.png")])
    (bench / "samples" / "a.png").rename(tmp_path / "outside.png")
    (bench / "samples" / "a.png").symlink_to(tmp_path / "outside.png")
    write_report(bench)
    assert "No picture: not a .png of this folder." in (bench / "report.html").read_text()


def test_the_same_rows_give_the_same_bytes(folder, tmp_path):
    write(tmp_path, list(reversed(plausible())), PROTOCOL, other_protocol())
    write_report(tmp_path)
    assert (tmp_path / "report.md").read_bytes() == (folder / "report.md").read_bytes()
    write_report(tmp_path)
    assert (tmp_path / "report.html").read_bytes() == (folder / "report.html").read_bytes()


def test_every_curve_is_drawn(page):
    groups = [attributes for name, attributes in page.elements if name == "path" and attributes.get("class") == "thin"]
    assert len(groups) == 2 * (4 * 3 + 2 + 2)  # against time and images: every seed with scores in training
    assert len([attributes for attributes in page.named("path") if attributes.get("class") == "cross"]) == 2


def test_forty_series_are_forty_looks_and_the_legend_shows_the_same(tmp_path):
    write(tmp_path, [row(f"v{place:02}", 0, [9.0 + place, 8.0 + place]) for place in range(40)])
    write_report(tmp_path)
    text = (tmp_path / "report.html").read_text()
    drawn = {
        name: re.findall(r"--c\d|stroke-dasharray: [\d ]+", rules)
        for name, rules in re.findall(r"\.(c\d|dash\d)(?:\.thick)? {([^}]*)}", text)
    }
    assert len({tuple(look) for look in drawn.values()}) == 8 + 4 and all(drawn.values())
    legend = text[text.index('class="legend"') :]
    swatches = re.findall(r'class="thick (c\d(?: dash\d)?)"', legend[: legend.index("</ul>")])
    assert len(set(swatches)) == 40 and {name for look in swatches for name in look.split()} == set(drawn)
    series = set(re.findall(r'<g class="(c\d(?: dash\d)?)">', text))
    assert series == set(swatches)


def test_axes_have_round_ticks():
    assert charts.Axis.of([0, 128000], 0, 100, from_zero=True).ticks() == [0, 50000, 100000]
    assert charts.Axis.of([20, 300], 0, 100, logarithm=True).ticks() == [20, 50, 100, 200]
    same = charts.Axis.of([5, 5], 0, 100)
    assert same(5) == 50 and 5 in same.ticks()
    assert [charts.tick_text(value) for value in (0, 0.05, 2.5, 250, 128000, 2e6)] == [
        "0",
        "0.05",
        "2.5",
        "250",
        "128k",
        "2M",
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [row("dcgan", 0, [])],
        [row("dcgan", 0, [], status="failed", times={}, costs={}, final=None)],
        [row("dcgan", 0, [0.0, 0.0, 0.0])],
        [row("dcgan", 0, [9.0], times={"point_seconds": []})],
        [row("dcgan", 0, [1e-9, 1e9])],
    ],
    ids=["no points", "failed at once", "all zero", "no times", "far apart"],
)
def test_meagre_rows_have_a_page_too(tmp_path, rows):
    write(tmp_path, rows)
    write_report(tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    assert not page.open and any(cells[:1] == ["dcgan"] for cells in page.rows)
    assert not re.search(r"\b(nan|inf|None)\b", (tmp_path / "report.md").read_text())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "has no rows"),
        ('{"format": 2}', "line 1 is of format 2"),
        ('{"format": 1', "line 1 is not valid JSON"),
        ('{"format": 1, "protocol": 5}', "line 1 is not a row of a bench"),
        ("[]", "not a row"),
        ('{"format": NaN}', "NaN is not a JSON number"),
    ],
)
def test_damaged_rows_are_one_line(tmp_path, line, said):
    write(tmp_path, [])
    (tmp_path / "results.jsonl").write_text(f"{line}\n")
    with pytest.raises(CheckpointError, match=re.escape(said)) as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_cell_that_is_there_twice_is_refused(tmp_path):
    write(tmp_path, [row("dcgan", 0, [9.0]), row("dcgan", 1, [9.0]), row("dcgan", 0, [8.0])])
    with pytest.raises(CheckpointError, match="line 3 repeats the cell of line 1"):
        write_report(tmp_path)
