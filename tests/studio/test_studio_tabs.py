"""What the other tabs of the studio show: walks, applied pictures, points, runs, benches and the zoo."""

import json
import shlex
import shutil
import threading

import bench_rows
import pytest
import tiny
from PIL import Image

from ganzoo.bench.report.markup import Markup
from ganzoo.cli import main
from ganzoo.errors import CheckpointError, DataError, DivergedError, UsageError
from ganzoo.registry.registry import registry
from ganzoo.studio import applying, benches, points, server, walking, watching, zoo
from ganzoo.studio.plots import plot, plots
from ganzoo.studio.shelf import Shelf
from ganzoo.studio.web.events import StopRequested, Stops


def run(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0


# -- walks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_a_walk_is_the_file_of_its_command(suffix, tmp_path, capsys):
    model, seen = Shelf((), registry()).model("dcgan.fashion-mnist"), []
    request = walking.Request(seed=3, stops=2, truncation=0.8)
    walking.write_walk(model, request, tmp_path / f"a{suffix}", lambda number, count: seen.append((number, count)))
    words = shlex.split(walking.walk_command("dcgan.fashion-mnist", request, suffix))
    run([*words[1:-1], str(tmp_path / f"b{suffix}")])
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert seen[0] == (1, 24) and seen[-1] == (24, 24)


@pytest.mark.parametrize("request_", [walking.Request(stops=1), walking.Request(stops=99), walking.Request(seed=-1)])
def test_walks_are_bounded(request_, tmp_path):
    with pytest.raises(UsageError, match="a whole number from"):
        walking.write_walk(tiny.built_in("dcgan"), request_, tmp_path / "a.gif")


# -- apply ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def upscaler():
    return Shelf((), registry()).model("real-esrgan.animevideo")


def picture(path, size=(20, 12), mode="RGB"):
    Image.effect_noise(size, 60).convert(mode).save(path)
    return str(path)


def test_an_applied_picture_is_the_file_of_its_command(upscaler, tmp_path, capsys):
    source = picture(tmp_path / "small.png")
    tiles = []
    request = applying.Request(source, scale=2.0)
    found = applying.apply(upscaler, request, tmp_path, lambda number, count: tiles.append((number, count)))
    words = shlex.split(applying.apply_command("real-esrgan.animevideo", request, source))
    run([*words[1:-1], str(tmp_path / "out.png")])
    with open(found.output, "rb") as file:
        assert file.read() == (tmp_path / "out.png").read_bytes()
    assert "20 x 12 pixels became 40 x 24" in found.line and tiles[-1][0] == tiles[-1][1]
    sizes = {Image.open(path).size for path in (found.before, found.after)}
    assert sizes == {(40, 24)}


def test_transparency_is_shown_over_a_board(upscaler, tmp_path):
    source = picture(tmp_path / "clear.png", mode="RGBA")
    found = applying.apply(upscaler, applying.Request(source), tmp_path)
    assert Image.open(found.output).mode == "RGBA" and Image.open(found.after).mode == "RGB"


def test_uploads_are_bounded_before_they_are_decoded(upscaler, tmp_path, monkeypatch):
    large = tmp_path / "large.png"
    Image.new("1", (3000, 2000)).save(large)
    animated = tmp_path / "moves.gif"
    Image.new("L", (4, 4)).save(animated, save_all=True, append_images=[Image.new("L", (4, 4), 255)])
    (tmp_path / "text.png").write_text("no picture")
    heavy = tmp_path / "heavy.png"
    with open(heavy, "wb") as file:
        file.truncate(applying.UPLOAD_BYTES + 1)
    monkeypatch.setattr(applying, "decode_image", lambda file: pytest.fail("decoded"))
    wrong = {large: UsageError, animated: UsageError, heavy: UsageError, tmp_path / "text.png": DataError}
    for path, kind in wrong.items():
        with pytest.raises(kind) as refused:
            applying.apply(upscaler, applying.Request(str(path)), tmp_path)
        assert "\n" not in str(refused.value)


def test_an_application_ends_between_two_layers_and_leaves_no_file(upscaler, tmp_path):
    source, layers = picture(tmp_path / "small.png"), []

    def check():
        layers.append(1)
        if len(layers) == 3:
            raise StopRequested

    with pytest.raises(StopRequested):
        applying.apply(upscaler, applying.Request(source), tmp_path, check=check)
    assert len(layers) == 3 and [path.name for path in tmp_path.iterdir()] == ["small.png"]
    applying.apply(upscaler, applying.Request(source), tmp_path)
    assert len(layers) == 3


def test_only_the_session_that_asks_is_stopped():
    stops = Stops()
    stops.ask("early")
    stops.began("early")
    stops.check("early")
    stops.ask("one")
    stops.check("another")
    with pytest.raises(StopRequested):
        stops.check("one")


def test_the_process_ends_at_once_only_while_it_computes(monkeypatch):
    shelf, ended = Shelf((), registry()), []
    monkeypatch.setattr(server.os, "_exit", ended.append)
    server.end(143, shelf)
    assert ended == []
    begun, over = threading.Event(), threading.Event()

    def compute():
        with shelf.computing():
            begun.set()
            over.wait(60)

    thread = threading.Thread(target=compute)
    thread.start()
    begun.wait(60)
    server.end(143, shelf)
    over.set()
    thread.join()
    assert ended == [143]


def test_a_model_says_at_which_size_it_learned(upscaler):
    assert "64 x 64" in applying.about(upscaler) and "Enlarges" in applying.about(upscaler)
    assert "translate" in applying.about(Shelf((), registry()).model("pix2pix.emoji-3d"))


@pytest.mark.parametrize("scale", [0.0, -1.0, 100.0, float("nan")])
def test_scales_are_bounded(scale, upscaler, tmp_path):
    with pytest.raises(UsageError, match="scale"):
        applying.apply(upscaler, applying.Request(picture(tmp_path / "a.png"), scale=scale), tmp_path)


# -- points -----------------------------------------------------------------------------------------------------------


def test_points_train_to_the_state_that_the_command_trains_to(tmp_path, capsys):
    request = points.Request("points", "ring", loss="rsgan", penalty="r1", generator_lr=3e-3, seed=2, steps=30)
    looks = list(points.train(request, registry(), seconds=0.0))
    assert looks[0].step == 0 and looks[-1].step == 30 and looks[-1].ended and looks[-1].picture.size == (480, 480)
    words = shlex.split(points.train_command(request))
    out = words.index("runs/points")
    run([*words[1:out], str(tmp_path / "run"), "--quiet", "--threads", "1", "--sample-every", "30", "--no-tensorboard"])
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    measured = [record["samples"] for record in records if "samples" in record and record["step"] == 30][-1]
    assert {name: looks[-1].numbers[name] for name in ("diversity", "modes", "energy_distance")} == {
        name: pytest.approx(measured[name]) for name in ("diversity", "modes", "energy_distance")
    }


def test_a_training_that_diverges_ends_with_its_line(monkeypatch):
    def check(step, terms):
        if step == 5:
            raise DivergedError("Training diverged at step 5: term 'fake' is nan.")

    monkeypatch.setattr(points, "check_finite", check)
    *_, last = points.train(points.Request("points", "ring", steps=40), registry(), seconds=5.0)
    assert last.ended and last.step == 5 and last.picture is None and "diverged at step 5" in last.verdict


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (points.Request("dcgan", "ring"), "draws no points"),
        (points.Request("points", "fashion-mnist-test"), "no data set of points"),
        (points.Request("points", "/etc"), "no data set of points"),
        (points.Request("points", "ring", loss="nothing-like-it"), "nothing-like-it"),
        (points.Request("points", "ring", penalty="nothing-like-it"), "nothing-like-it"),
        (points.Request("points", "ring", generator_lr=-1.0), "learning rate"),
        (points.Request("points", "ring", steps=10**9), "Steps"),
    ],
)
def test_what_points_cannot_do_is_one_line(request_, said):
    with pytest.raises(UsageError, match=said):
        next(points.train(request_, registry()))


def test_verdicts():
    assert "just begun" in points.verdict({"diversity": 0.1, "modes": 1}, 10, 0.5)
    assert "Collapsed" in points.verdict({"diversity": 0.1, "modes": 1}, 1000, 0.5)
    assert "missing" in points.verdict({"diversity": 0.7, "modes": 6}, 1000, 0.5)
    assert "Healthy" in points.verdict({"diversity": 0.99}, 1000, 0.5)


def test_trials_of_losses_are_silent(caplog, monkeypatch):
    monkeypatch.setattr(points, "candidates", lambda registry, kind: ["fastgan", "non-saturating", "no-such-loss"])
    monkeypatch.setattr(points, "PAUSE", 0.0)
    caplog.set_level("INFO")
    assert points.usable(registry(), "losses") == ["non-saturating"]
    assert caplog.records == []
    with pytest.raises(UsageError):
        points.trainer_of(points.Request("points", "ring", loss="fastgan"), registry()).step()
    assert any("perceptual" in record.getMessage() for record in caplog.records)


def test_losses_that_need_labels_or_pictures_are_no_candidates():
    found = points.candidates(registry(), "losses")
    assert {"non-saturating", "unrolled", "wasserstein-gp"} <= set(found)
    assert not {"cyclegan", "pix2pixhd", "acgan"} & set(found)


def test_plots_leave_out_what_is_not_finite():
    figure = plot("a <title>", {"x": [(0, 1.0), (1, float("nan")), (2, 3.0)], "y": [(0, float("inf"))]})
    assert "a &lt;title&gt;" in figure and "nan" not in figure and "x 3" in figure and "</svg>" in figure
    assert plot("empty", {"x": [(0, float("nan"))]}) is None
    assert plots(None, figure).count("<figure>") == 1
    long = plot("long", {"x": [(step, float(step)) for step in range(10_000)]})
    assert len(long) < 20_000 and "x 9.999k" in long


# -- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        words = ["train", "points", "--data", "ring", "--steps", "60", "--sample-every", "30", "--quiet"]
        run([*words, "--out", str(folder / "first"), "--threads", "1"])
    shutil.copytree(folder / "first", folder / "more" / "second")
    shutil.copytree(folder / "first", folder / "broken")
    (folder / "broken" / "config.json").write_text("{")
    (folder / "link").symlink_to(folder / "first")
    (folder / "notes").mkdir()
    return folder


def test_runs_are_listed_with_their_health(runs):
    assert set(watching.run_folders(runs)) == {"first", "more/second", "broken"}
    rows = {row[0]: row for row in watching.rows(runs)}
    assert rows["first"][1:6] == ["points", "ring", 60, 60, "finished"] and rows["first"][7].endswith("seconds ago")
    assert rows["broken"][5].startswith("damaged")
    assert len(rows["first"]) == len(watching.COLUMNS)


@pytest.mark.parametrize(
    ("events", "step", "ago", "state"),
    [([], 10, 1.0, "training"), ([], 10, 1e4, "no news"), (["interrupted"], 10, 1.0, "stopped"),
     (["diverged"], 10, 1.0, "diverged"), (["checkpoint"], 60, 1e6, "finished")],
)  # fmt: skip
def test_the_state_of_a_run(events, step, ago, state):
    assert watching._state(events, step, 60, ago) == state


def test_curves_are_a_page_of_their_own(runs):
    page = watching.curves(runs, ["first", "more/second"])
    assert page.startswith("<iframe ") and 'sandbox="allow-scripts"' in page and "diversity" in page
    assert watching.stamp(runs, ["first"]) == watching.stamp(runs, ["first"]) != watching.stamp(runs, ["more/second"])
    for name in ("../first", "/etc", "link", "broken/..", "notes"):
        with pytest.raises(UsageError, match="no run of this folder"):
            watching.curves(runs, [name])


def test_a_page_cannot_leave_its_frame():
    page = watching.framed('<p title="x">&lt;</p></iframe><script>1</script>', 'a "title"')
    assert page.count('"') == 2 * page.count('="') and "&quot;x&quot;" in page and "&amp;lt;" in page
    assert "<script" not in page
    assert isinstance(page, Markup)


# -- benches ----------------------------------------------------------------------------------------------------------


def test_a_bench_is_its_report(tmp_path):
    folder = tmp_path / "results"
    bench_rows.write(folder, [bench_rows.row("dcgan", seed, [80.0, 60.0]) for seed in (0, 1)])
    (tmp_path / "other").mkdir()
    assert list(benches.bench_folders(tmp_path)) == ["results"] and list(benches.bench_folders(folder)) == ["results"]
    assert "Bench report" in benches.report(tmp_path, "results") and "dcgan" in benches.report(tmp_path, "results")
    for name in ("other", "..", "/etc", ""):
        with pytest.raises(UsageError, match="no bench"):
            benches.report(tmp_path, name)
    (folder / "results.jsonl").write_text("{")
    with pytest.raises(CheckpointError):
        benches.report(tmp_path, "results")


# -- zoo --------------------------------------------------------------------------------------------------------------


def test_every_variant_has_a_row_and_a_card_with_its_page():
    rows = zoo.rows(registry())
    assert {row[0] for row in rows} == set(zoo.names(registry()))
    assert rows[0][1] >= rows[-1][1] and all(len(row) == len(zoo.COLUMNS) for row in rows)
    assert {row[0] for row in zoo.rows(registry(), "2018 spectral")} >= {"sngan"}
    assert zoo.rows(registry(), "no such words") == []
    for name in ("wgan-gp", "r3gan-64", "cgan-pd", "points-vae"):
        text = zoo.card(registry(), name)
        assert "## Equations" in text and "arxiv.org" in text and "](../" not in text and "![" not in text
    assert "weights `dcgan.fashion-mnist`" in zoo.card(registry(), "dcgan")
    with pytest.raises(UsageError, match="no-such"):
        zoo.card(registry(), "no-such")


def test_an_installed_package_has_the_pages_beside_its_modules(tmp_path, monkeypatch):
    package = tmp_path / "site" / "ganzoo"
    (package / "studio" / "pages").mkdir(parents=True)
    (package / "studio" / "pages" / "wgan-gp.md").write_text("# WGAN-GP\n\nA page of the wheel.\n")
    monkeypatch.setattr(zoo.resources, "files", lambda name: package)
    assert zoo.page_of("wgan-gp-mnist", "ganzoo_plugins.wgan_gp") == "A page of the wheel.\n"
    assert zoo.page_of("dcgan", "ganzoo_plugins.dcgan") is None


def test_links_to_files_become_text():
    text = zoo.without_local_links("# Head\n\n[`a.py:3`](../../a.py#L3) [paper](https://arxiv.org/x) ![p](../p.png)\n")
    assert text == "`a.py:3` [paper](https://arxiv.org/x) \n"
