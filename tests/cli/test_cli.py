"""The command line from outside: real processes, what they print, and the code they end with."""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import pytest
import small
from PIL import Image

pty = pytest.importorskip("pty")

COMMANDS = [
    "list",
    "show",
    "plugins",
    "new",
    "install",
    "uninstall",
    "check",
    "train",
    "sample",
    "bench",
    "compare",
    "convert",
    "explore",
    "export",
]
COMMANDS += ["apply", "score", "pull", "push", "search", "mix", "studio", "space"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with tiny images, a finished run, a damaged one and the cache that all processes of these tests use."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANZOO_CACHE", str(folder / "cache"))
        patch.setenv("NO_COLOR", "1")
        small.images(folder / "grey.npz")
        done = small.forked_ganzoo(*small.arguments(folder / "grey.npz", folder / "run", steps=2))
        assert done.returncode == 0, done.stderr
        shutil.copytree(folder / "run", folder / "damaged")
        next((folder / "damaged").rglob("MANIFEST.json")).write_text("{}")
        shutil.copytree(folder / "run", folder / "broken")
        (folder / "broken" / "config.json").write_text('{"format": 1, ')
        (folder / "text.txt").write_text("no images")
        yield folder


def error_of(done) -> str:
    """The one line that an error is; nothing else of an error may be there."""
    assert "Traceback" not in done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if "Error:" in line]
    assert len(lines) == 1 and lines[0].startswith("Error: ") and done.stderr.splitlines()[-1] == lines[0], done.stderr
    return lines[0]


# -- what goes well --------------------------------------------------------------------------------------------------


def test_version_and_module_are_one_program():
    version = small.ganzoo("--version")
    script = subprocess.run([Path(sys.executable).with_name("ganzoo"), "--version"], capture_output=True, text=True)
    assert (
        version.stdout == script.stdout
        and version.stdout.startswith("ganzoo 0.")
        and version.returncode == script.returncode == 0
    )


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_every_command_explains_itself(command):
    done = small.forked_ganzoo(*command, "--help")
    assert done.returncode == 0 and "Usage: ganzoo" in done.stdout and done.stderr == ""
    assert small.forked_ganzoo(*command, "-h").stdout == done.stdout
    if not command:
        assert all(name in done.stdout for name in COMMANDS)


def test_list_as_text_and_for_programs():
    text, rows = (
        small.forked_ganzoo("list", "wgan*").stdout,
        json.loads(small.forked_ganzoo("list", "wgan*", "--json").stdout),
    )
    assert [line.split()[0] for line in text.splitlines()] == [row["name"] for row in rows]
    assert {"wgan-gp", "wgan-gp-mnist"} <= {row["name"] for row in rows} and all(
        row["name"].startswith("wgan") for row in rows
    )
    tagged = json.loads(small.forked_ganzoo("list", "--tag", "conditional", "--json").stdout)
    assert tagged and all("conditional" in row["tags"] for row in tagged)


def test_list_of_nothing_says_what_there_is():
    done = small.forked_ganzoo("list", "zzz*")
    assert done.returncode == 1 and done.stdout == "" and re.search("No variant matches. Known: .*dcgan", done.stderr)
    assert small.forked_ganzoo("list", "zzz*", "--json").stdout == "[]\n"


def test_show_names_settings_that_train_takes():
    card = json.loads(small.forked_ganzoo("show", "dcgan", "--json").stdout)
    assert card["paper"].startswith("https://") and card["parts"]["generator"]["options"]["width"] == 64
    assert "--set generator.width=64" in small.forked_ganzoo("show", "dcgan").stdout
    share = (
        '--set training.schedules.loss.share={"to_value": 0.1, "from_value": null, "from_fraction": 0.0, '
        '"to_fraction": 1.0, "shape": "cosine", "milestones": []}'
    )
    assert share in small.forked_ganzoo("show", "r3gan").stdout


def test_plugins_tells_who_registers_what():
    plugins = {
        plugin["name"]: plugin for plugin in json.loads(small.forked_ganzoo("plugins", "--json").stdout)["plugins"]
    }
    assert plugins["ganzoo:dcgan"]["registered"]["variants"] == ["dcgan"] and plugins["ganzoo:dcgan"]["error"] is None
    assert "ganzoo:dcgan" in small.forked_ganzoo("plugins").stdout


def test_sample_writes_a_grid_a_folder_arrays_and_a_walk(place, tmp_path):
    for out in ("grid.png", "photo.jpg", "folder", "arrays.npz", "walk.gif"):
        done = small.forked_ganzoo("sample", str(place / "run"), "-n", "5", "--out", out, "--seed", "2", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    arrays = numpy.load(tmp_path / "arrays.npz")
    assert arrays["images"].shape == (5, 32, 32, 1) and arrays["images"].dtype == numpy.uint8
    singles = [numpy.asarray(Image.open(path)) for path in sorted((tmp_path / "folder").iterdir())]
    assert numpy.array_equal(numpy.stack(singles), arrays["images"][..., 0])
    assert Image.open(tmp_path / "grid.png").format == "PNG" and Image.open(tmp_path / "photo.jpg").format == "JPEG"
    assert Image.open(tmp_path / "walk.gif").n_frames > 30


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_names_complete(shell):
    words = {"COMP_WORDS": "ganzoo show wgan-gp-r", "COMP_CWORD": "wgan-gp-r" if shell == "fish" else "2"}
    done = small.forked_ganzoo(_GANZOO_COMPLETE=f"{shell}_complete", **words)
    assert "wgan-gp-resnet" in done.stdout and "wgan-gp-resnet-64" in done.stdout and "dcgan" not in done.stdout
    source = small.forked_ganzoo(_GANZOO_COMPLETE=f"{shell}_source")
    assert "_GANZOO_COMPLETE" in source.stdout


def test_commands_and_data_sets_complete():
    done = small.forked_ganzoo(_GANZOO_COMPLETE="bash_complete", COMP_WORDS="ganzoo sh", COMP_CWORD="1")
    assert done.stdout == "plain,show\n"
    done = small.forked_ganzoo(
        _GANZOO_COMPLETE="bash_complete", COMP_WORDS="ganzoo train dcgan --data fash", COMP_CWORD="4"
    )
    assert "fashion-mnist" in done.stdout


# -- what goes wrong --------------------------------------------------------------------------------------------------

TRAIN = [
    "train",
    "dcgan",
    "--data",
    "{place}/grey.npz",
    "--steps",
    "1",
    "--image-size",
    "32",
    "--batch-size",
    "4",
    "--out",
    "{new}",
]
WRONG = {
    "command": (2, "No command is called 'trian'. Did you mean 'train'?", ["trian"]),
    "option": (2, "No such option", ["list", "--jsn"]),
    "missing option": (2, "Missing option '--out'", ["train", "dcgan"]),
    "variant": (
        2,
        "No variant is called 'dcgna'. Did you mean 'dcgan'?",
        ["train", "dcgna", "--data", "x", "--out", "{new}"],
    ),
    "variant to show": (2, "No variant is called '../x'", ["show", "../x"]),
    "no variant": (2, "Say what to train and on what", ["train", "--out", "{new}"]),
    "data": (2, "absent.npz", ["train", "dcgan", "--data", "absent.npz", "--out", "{new}"]),
    "data kind": (2, "text.txt", ["train", "dcgan", "--data", "{place}/text.txt", "--out", "{new}"]),
    "size": (2, "draws 64, 32, and multiples of 16 from 16 to 256 pixels, not 40", [*TRAIN, "--image-size", "40"]),
    "huge batch": (2, "1000", [*TRAIN, "--batch-size", "1000"]),
    "batch of none": (2, "'--batch-size'", [*TRAIN, "--batch-size", "0"]),
    "seed": (2, "'--seed'", [*TRAIN, "--seed", "99999999999999999999"]),
    "device": (2, "There is no device 'tpu' here; there is:", [*TRAIN, "--device", "tpu"]),
    "precision": (2, "'--precision'", [*TRAIN, "--precision", "fp8"]),
    "both lengths": (2, "Give --steps or --images, not both", [*TRAIN, "--images", "5"]),
    "labels": (2, "takes no labels", [*TRAIN, "--conditional"]),
    "width": (2, "The generator 'dcgan' cannot", [*TRAIN, "--set", "generator.width=0"]),
    "huge width": (2, "out of range", [*TRAIN, "--set", "generator.width=99999999999"]),
    "existing run": (2, "already holds a run: add --resume", [*TRAIN[:-1], "{place}/run"]),
    "existing folder": (2, "is in the way", [*TRAIN[:-1], "{place}"]),
    "existing file": (2, "is in the way", [*TRAIN[:-1], "{place}/text.txt"]),
    "below a file": (2, "text.txt", [*TRAIN[:-1], "{place}/text.txt/run"]),
    "nothing to resume": (2, "holds no run to resume", ["train", "--out", "{new}", "--resume"]),
    "broken config": (1, "config.json is not valid JSON", ["train", "--out", "{place}/broken", "--resume"]),
    "damaged run": (
        1,
        "can be used, and none was deleted",
        ["train", "--out", "{place}/damaged", "--resume", "--steps", "3"],
    ),
    "sample of nothing": (2, "There is no folder", ["sample", "{new}", "--out", "{new}.png"]),
    "sample of no run": (2, "neither a run", ["sample", "{place}/cache", "--out", "{new}.png"]),
    "sample of a damaged run": (
        1,
        "can be used, and none was deleted",
        ["sample", "{place}/damaged", "--out", "{new}.png"],
    ),
    "sample of a broken run": (1, "config.json is not valid JSON", ["sample", "{place}/broken", "--out", "{new}.png"]),
    "kind of picture": (2, "unknown kind '.tga'; known:", ["sample", "{place}/run", "--out", "{new}.tga"]),
    "picture in no folder": (2, "There is no folder", ["sample", "{place}/run", "--out", "{new}/a.png"]),
    "existing picture": (2, "is in the way", ["sample", "{place}/run", "--out", "{place}/run/samples.png"]),
    "label": (2, "takes no label", ["sample", "{place}/run", "--out", "{new}.png", "--label", "1"]),
    "walk of one": (2, "at least two", ["sample", "{place}/run", "--out", "{new}.gif", "-n", "1"]),
    "no images": (2, "'-n'", ["sample", "{place}/run", "--out", "{new}.png", "-n", "0"]),
}
REAL = ("command", "data")  # in fresh processes, which the others are forks of


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_line_and_leaves_nothing(place, tmp_path, name):
    code, expected, words = WRONG[name]
    before = sorted(place.rglob("*"))
    start = small.ganzoo if name in REAL else small.forked_ganzoo
    done = start(*[word.format(place=place, new=tmp_path / "new") for word in words], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert expected in error_of(done)
    assert list(tmp_path.iterdir()) == []
    assert [path for path in sorted(place.rglob("*")) if "cache" not in path.parts] == [
        path for path in before if "cache" not in path.parts
    ]


def test_all_mistakes_of_a_configuration_come_at_once(place, tmp_path):
    more = ["--set", "generator.widht=1", "--set", "training.lr=1", "--set", "training.ema=2"]
    done = small.forked_ganzoo(*[word.format(place=place, new=tmp_path / "new") for word in TRAIN], *more)
    assert (
        done.returncode == 2 and "Error: 3 settings cannot be used:" in done.stderr and "Traceback" not in done.stderr
    )
    assert "Did you mean 'width'?" in done.stderr and "training.ema: must be at least 0 and below 1" in done.stderr


# -- odd surroundings -------------------------------------------------------------------------------------------------


def shell(line: str, **environment) -> subprocess.CompletedProcess:
    settings = os.environ | {"OMP_NUM_THREADS": "1", "G": f"{sys.executable} -m ganzoo"} | environment
    return subprocess.run(["bash", "-c", line], env=settings, capture_output=True, text=True)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_under_the_output():
    done = shell("$G list > /dev/full")
    assert done.returncode == 1 and "No space left" in error_of(done)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$G list --json | head -1; exit ${PIPESTATUS[0]}", {0, 1}),
        ("$G list >&-", {0}),
        ("$G list 2>&-", {0}),
        ("$G list <&-", {0}),
        ("$G lisst 2>&-", {2}),
    ],
)
def test_closed_streams(line, code):
    done = shell(line)
    assert done.returncode in code and done.stderr == ""


SURROUNDINGS = {
    "narrow": {"COLUMNS": "20"},
    "no home": {"HOME": None},
    "safe mode": {"GANZOO_LOAD_PLUGINS": ""},
}
AT_THE_START = {  # what an interpreter reads when it begins
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "odd hash": {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
}
REQUESTS = (["list"], ["show", "dcgan"], ["train", "--help"], ["show", "dcgan\u2713"])
# One interpreter answers them all, with streams of its own for each.
STARTED = """
import json, os, sys
from ganzoo.cli import main
codes = []
for number, words in enumerate(json.loads(sys.argv[1])):
    for stream in (1, 2):
        os.dup2(os.open(f"{number}-{stream}", os.O_CREAT | os.O_WRONLY), stream)
    try:
        main(words)
    except SystemExit as end:
        codes.append(end.code)
    sys.stdout.flush(), sys.stderr.flush()
open("codes", "w").write(json.dumps(codes))
"""


def wrong_answers(answers) -> list[str]:
    """Returns what is wrong with the answers to `REQUESTS`: three are right, the last has a misspelt name."""
    *good, wrong = answers
    found = [done.stderr or "no output" for done in good if done.returncode != 0 or done.stderr or not done.stdout]
    hint = "Did you mean" in error_of(wrong)
    return [*found, *([] if len(good) == 3 else [f"{len(good)} answers"]), *([] if hint else [wrong.stderr])]


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings(name):
    assert wrong_answers(small.forked_ganzoo(*words, **SURROUNDINGS[name]) for words in REQUESTS) == []


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in ("cp1252", "odd hash") else []) for name in AT_THE_START],
)
def test_surroundings_of_the_interpreter(name, tmp_path):
    words = [sys.executable, "-c", STARTED, json.dumps(REQUESTS)]
    done = subprocess.run(words, env=os.environ | AT_THE_START[name], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    codes = json.loads((tmp_path / "codes").read_text())
    texts = [
        [(tmp_path / f"{number}-{stream}").read_text(errors="replace") for stream in (1, 2)] for number in range(4)
    ]
    answers = [subprocess.CompletedProcess([], code, *text) for code, text in zip(codes, texts, strict=True)]
    assert wrong_answers(answers) == []


@pytest.mark.process
def test_without_docstrings_and_assertions(place, tmp_path):
    words = small.arguments(place / "grey.npz", tmp_path / "run", steps=1)
    done = subprocess.run([sys.executable, "-OO", "-m", "ganzoo", *words], capture_output=True, text=True)
    assert done.returncode == 0 and small.steps_of(tmp_path / "run") == [1], done.stderr


def test_odd_names(place, tmp_path):
    folder = tmp_path / "a b \u00fc \u2713 'c'"
    folder.mkdir()
    shutil.copy(place / "grey.npz", folder / "-x y.npz")
    done = small.forked_ganzoo(*small.arguments(folder / "-x y.npz", folder / "run \u2713", steps=1))
    assert done.returncode == 0, done.stderr
    done = small.forked_ganzoo("sample", "./run \u2713", "--out", "C:\\x.png", cwd=folder)
    assert done.returncode == 0 and (folder / "C:\\x.png").exists(), done.stderr
    long = small.forked_ganzoo("sample", str(place / "run"), "--out", "x" * 300 + ".png", cwd=folder)
    assert long.returncode == 1 and "File name too long" in error_of(long)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_written():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        data = small.images(folder / "grey.npz")
        with pytest.raises(SystemExit):  # whatever is imported late, for Python itself may be closed to others
            small.main(small.arguments(data, folder / "mine", "--quiet", steps=1))
        before = sorted(folder.rglob("*"))

        def become_somebody():
            os.environ["GANZOO_CACHE"] = "cache"
            os.setgroups([]), os.setgid(65534), os.setuid(65534)

        done = small.forked_ganzoo(*small.arguments(data, Path("run"), steps=1), cwd=folder, prepare=become_somebody)
        assert done.returncode == 2 and "run cannot be made: Permission denied" in error_of(done)
        done = small.forked_ganzoo(
            "train", "--out", "mine", "--resume", "--steps", "2", cwd=folder, prepare=become_somebody
        )
        assert done.returncode == 1 and "cannot be locked: Permission denied" in error_of(done)
        assert sorted(folder.rglob("*")) == before


# -- progress ---------------------------------------------------------------------------------------------------------


def test_without_a_terminal_there_are_lines_and_no_bar(place, tmp_path):
    done = small.forked_ganzoo(*small.arguments(place / "grey.npz", tmp_path / "run", steps=2))
    assert done.stdout == "" and "\r" not in done.stderr and "\x1b" not in done.stderr
    assert any(
        line.startswith("step 2/2  ") and "images/s" in line and "generator.fake" in line
        for line in done.stderr.splitlines()
    )
    quiet = small.forked_ganzoo(*small.arguments(place / "grey.npz", tmp_path / "quiet", "--quiet", steps=2))
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize("columns", [160, 0])
def test_on_a_terminal_there_is_a_bar(place, tmp_path, columns):
    import fcntl
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    child = os.fork()
    if child == 0:
        os.dup2(follower, 0)
        small.become_ganzoo(small.arguments(place / "grey.npz", tmp_path / "run", steps=60), follower, follower)
    os.close(follower)
    seen, chunk = b"", b"..."
    while chunk:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # the child has ended, and nobody holds the other end
            break
        seen += chunk
    os.close(leader)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = seen.decode(errors="replace")
    assert code == 0 and "\r" in text and "60/60" in text and "images/s" in text and " left" in text, text
    assert columns == 0 or "generator.fake 0." in text or "generator.fake 1." in text, text


def test_debugging_shows_where(place):
    done = small.forked_ganzoo("sample", str(place / "broken"), "--out", "x.png", GANZOO_DEBUG="1")
    assert done.returncode == 1 and "Traceback" in done.stderr and done.stderr.splitlines()[-1].startswith("Error: ")
