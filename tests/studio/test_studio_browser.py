"""The studio in a real browser: every tab, as a person would use it."""

import json
import shlex
import shutil
import urllib.error
import urllib.request

import bench_rows
import pytest
from browsers import NO_OUTSIDE, chromium, needs_browser, outside, served
from PIL import Image

from ganzoo.cli import main

pytestmark = [pytest.mark.process, needs_browser]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(folder):
    """A studio of the weights that come with the package, of a run and of a bench."""
    with pytest.raises(SystemExit) as ended:
        words = [
            "train",
            "points",
            "--data",
            "ring",
            "--steps",
            "60",
            "--sample-every",
            "30",
            "--quiet",
            "--threads",
            "1",
        ]
        main([*words, "--out", str(folder / "runs" / "first")])
    assert ended.value.code == 0
    bench_rows.write(folder / "benches" / "results", bench_rows.plausible())
    folders = ["--runs", "runs", "--bench", "benches"]
    (folder / "tmp").mkdir()
    words = ["studio", "--port", "0", "--no-browser", *folders]
    with served(words, folder, TMPDIR=str(folder / "tmp")) as found:
        yield found
        assert found.errors() == ""


def sampled(page, before=None):
    """Waits for a grid of samples other than `before`, and returns its address."""
    page.wait_for_function(
        "before => { const one = document.querySelector('.studio-picture img'); return one && one.complete && "
        "one.naturalWidth > 0 && one.src !== before }",
        arg=before,
    )
    return page.locator(".studio-picture img").first.get_attribute("src")


def remade(line, out):
    words = shlex.split(line)
    with pytest.raises(SystemExit) as ended:
        main([*words[1:-1], str(out)])
    assert ended.value.code == 0
    return out.read_bytes()


def test_samples_are_there_and_the_command_makes_the_same_file(studio, browser, tmp_path):
    with browser.visit(studio.url) as page:
        first = sampled(page)
        page.get_by_label("Seed").fill("7")
        page.get_by_label("Seed").press("Enter")
        second = sampled(page, first)
        page.get_by_label("number input for Direction 1").fill("2")
        page.get_by_label("number input for Direction 1").press("Enter")
        sampled(page, second)
        page.wait_for_function(
            "[...document.querySelectorAll('textarea')].some(one => one.value.includes('--move 1=2'))"
        )
        line = page.locator("#sample-command textarea").input_value()
        assert "--seed 7" in line
        with page.expect_download() as coming:
            page.get_by_role("button", name="Download grid.png").click()
        with open(coming.value.path(), "rb") as file:
            assert remade(line, tmp_path / "grid.png") == file.read()
        assert outside(page, studio.url) == [] and page.problems == []


def test_a_wrong_number_is_the_line_of_the_command(studio, browser):
    with browser.visit(studio.url) as page:
        sampled(page)
        page.get_by_label("Samples", exact=True).fill("999")
        page.get_by_role("button", name="Sample", exact=True).click()
        line = page.get_by_text("a whole number from 1 to 64")
        line.wait_for()
        assert line.count() == 1 and page.problems == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(studio, browser, dark):
    with browser.visit(studio.url, width=400, dark=dark) as page:
        sampled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, shade.strip("rgb()").split(",")[:3])) < 200) == dark


def test_the_keyboard_suffices(studio, browser):
    with browser.visit(studio.url) as page:
        first = sampled(page)
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText") == "New seed":
                break
        assert page.evaluate("document.activeElement.innerText") == "New seed"
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        sampled(page, first)


def open_tab(page, name):
    """Chooses a tab; on a telephone those without room are in a menu."""
    tab = page.get_by_role("tab", name=name, exact=True)
    page.wait_for_selector("button[role=tab]")
    if not tab.is_visible():
        page.locator(".overflow-menu button").first.click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()


def test_walk(studio, browser, tmp_path):
    with browser.visit(studio.url) as page:
        open_tab(page, "Walk")
        page.get_by_label("number input for Stops").fill("2")
        page.get_by_role("button", name="Walk", exact=True).click()
        page.wait_for_function("[...document.querySelectorAll('.studio-walk img')].some(one => one.naturalWidth > 0)")
        line = page.locator("#walk-command textarea").input_value()
        with page.expect_download() as coming:
            page.get_by_role("button", name="Download the animation").click()
        with open(coming.value.path(), "rb") as file:
            assert remade(line, tmp_path / "walk.webp") == file.read()
        assert outside(page, studio.url) == [] and page.problems == []


def test_apply(studio, browser, tmp_path):
    Image.effect_noise((24, 16), 80).convert("RGB").save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    with browser.visit(studio.url) as page:
        open_tab(page, "Apply")
        page.set_input_files("input[type=file]", tmp_path / "small.png")
        page.get_by_text("24 x 16 pixels became 96 x 64").wait_for()
        assert "small.png" in page.locator("#apply-command textarea").input_value()
        with page.expect_download() as coming:
            page.get_by_role("button", name="Download out.png").click()
        assert Image.open(coming.value.path()).size == (96, 64)
        page.get_by_role("button", name="Remove this file").or_(page.get_by_label("Clear")).first.click()
        page.set_input_files("input[type=file]", tmp_path / "text.png")
        page.get_by_text("not usable as an image").first.wait_for()
        assert outside(page, studio.url) == [] and page.problems == []


def test_an_application_stops(studio, folder, browser, tmp_path):
    Image.effect_noise((1400, 1200), 80).convert("RGB").save(tmp_path / "large.png")
    with browser.visit(studio.url) as page:
        open_tab(page, "Apply")
        page.get_by_text("learned on pieces of 64 x 64").wait_for()
        before = set((folder / "tmp").rglob("out.png"))
        page.set_input_files("input[type=file]", tmp_path / "large.png")
        page.get_by_text("Applying").first.wait_for()
        page.get_by_role("button", name="Stop", exact=True).locator("visible=true").click()
        page.get_by_role("combobox", name="Model", exact=True).locator("visible=true").fill("pix2pix.emoji-3d")
        page.get_by_role("combobox", name="Model", exact=True).locator("visible=true").press("Enter")
        page.get_by_text("Learned to translate").wait_for()  # it waits for its turn
        assert set((folder / "tmp").rglob("out.png")) == before
        assert page.locator("#apply-command textarea").input_value() == "" and page.problems == []


def test_points_are_there_before_they_are_trained(studio, browser):
    with browser.visit(studio.url, width=400) as page:
        open_tab(page, "Points")
        page.get_by_text("Step 0.").wait_for()
        page.wait_for_function(
            "[...document.querySelectorAll('.studio-picture img')].some(one => one.alt.includes('black'))"
        )
        assert page.get_by_role("combobox", name="Loss").input_value() == "non-saturating (its own)"
        assert page.locator(".studio-plots svg").count() == 0 and page.problems == []


def test_points_train_while_one_looks(studio, browser):
    with browser.visit(studio.url) as page:
        open_tab(page, "Points")
        page.get_by_label("Steps").fill("40")
        page.get_by_role("button", name="Train", exact=True).click()
        page.get_by_text("Step 40.").wait_for()
        assert page.locator(".studio-plots svg").count() >= 2
        line = page.locator("#points-command textarea").input_value()
        assert line.startswith("ganzoo train points --data ring")
        assert outside(page, studio.url) == [] and page.problems == []


def test_runs_with_their_curves(studio, browser):
    with browser.visit(studio.url) as page:
        open_tab(page, "Runs")
        page.get_by_role("gridcell").get_by_text("finished").locator("visible=true").first.wait_for()
        frame = page.frame_locator("iframe[title='Curves of first']")
        frame.locator("figcaption", has_text="diversity").first.wait_for()
        assert frame.locator("svg").count() >= 2 and frame.locator("img").count() >= 1


def test_a_bench_is_sorted_by_a_click(studio, browser):
    with browser.visit(studio.url) as page:
        open_tab(page, "Bench")
        frame = page.frame_locator("iframe[title^='Report']")
        head = frame.get_by_role("button", name="seeds").first
        head.click()
        assert frame.locator("th[aria-sort]").count() >= 1
        assert frame.locator("svg.chart").count() >= 1


def test_the_zoo_finds_a_variant_and_shows_its_equations(studio, browser):
    with browser.visit(studio.url) as page:
        open_tab(page, "Zoo")
        page.get_by_label("Find").press_sequentially("wasserstein penalty 2017")
        page.get_by_role("gridcell").filter(has_text="r3gan").first.wait_for(state="hidden")
        assert page.get_by_role("gridcell").filter(has_text="wgan-gp-mnist").count() >= 1
        page.get_by_role("combobox", name="Variant").fill("wgan-gp")
        page.get_by_role("combobox", name="Variant").press("Enter")
        page.locator("#zoo-card").get_by_text("Equations").wait_for()
        assert outside(page, studio.url) == [] and page.problems == []


@pytest.mark.parametrize("name", ["Walk", "Apply", "Points", "Runs", "Bench", "Zoo"])
def test_every_tab_fits_a_telephone(name, studio, browser):
    with browser.visit(studio.url, width=400) as page:
        open_tab(page, name)
        page.wait_for_timeout(1500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def asked(url, data=None, **headers):
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_gradio_behind_the_guard_serves_no_file_of_the_machine(studio, folder, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret of this machine")
    shutil.copy(secret, folder / "secret.txt")  # the working directory of the studio
    paths = [
        secret,
        folder / "secret.txt",
        "/etc/passwd",
        f"/proc/{studio.process.pid}/environ",
        "http://127.0.0.1:9/x",
    ]
    for path in map(str, paths):
        for route in (f"/gradio_api/file={path}", f"/gradio_api/file/{path}", f"/gradio_api/proxy={path}"):
            status, body = asked(studio.url + route)
            assert status in (403, 404) and b"secret" not in body, route
    config = json.loads(asked(studio.url + "/config")[1])
    for number in range(len(config["dependencies"])):
        picture = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
        event = {"data": [picture] * 30, "fn_index": number, "session_hash": "hostile"}
        assert asked(f"{studio.url}/gradio_api/queue/join", json.dumps(event).encode())[0] == 403


def test_a_space_runs_as_it_is(folder, browser):
    space = folder / "space"
    with pytest.raises(SystemExit) as ended:
        main(["space", "dcgan.fashion-mnist", "--out", str(space)])
    assert ended.value.code == 0
    start = NO_OUTSIDE + "import runpy; runpy.run_path('app.py', run_name='__main__')"
    with served([], space, start, GRADIO_SERVER_PORT="0") as found, browser.visit(found.url) as page:
        sampled(page)
        assert [tab.inner_text() for tab in page.get_by_role("tab").all()] == ["Sample", "Walk"]
        assert "ganzoo sample ./model" in page.locator("#sample-command textarea").input_value()
        assert outside(page, found.url) == [] and "OUTSIDE" not in found.errors()


def test_another_address_needs_a_password(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["studio", "--host", "0.0.0.0", "--port", "0", "--no-browser"])
    assert ended.value.code == 2 and "--password-file" in capsys.readouterr().err


def test_the_password_opens_the_page(folder, browser):
    (folder / "password.txt").write_text("open sesame\n")
    words = ["studio", "--port", "0", "--no-browser", "--password-file", "password.txt"]
    with served(words, folder) as found:
        assert asked(found.url)[0] == 401 and asked(f"{found.url}/config")[0] == 401
        with browser.visit(found.url, password="open sesame") as page:
            sampled(page)
