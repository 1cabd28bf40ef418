"""Checkpoints of other code: common ones come out bit for bit, hostile ones are refused and run nothing."""

import os
import pickle
import sys
import warnings
import zipfile

import legacy_corpus
import numpy
import pytest
import torch

from ganzoo.convert import pickle_reader as legacy
from ganzoo.convert.pickle_reader import read_inputs
from ganzoo.convert.recognize import recognize
from ganzoo.errors import CheckpointError, GanzooError, UsageError


def read(cases: dict) -> dict:
    """What comes of files {name: (path, key)}; one process reads all that may be opened."""
    outcomes, waiting = {}, {}
    for name, (path, key) in cases.items():
        try:
            waiting[name] = recognize([path], key if path.suffix == ".npy" else None), key
        except GanzooError as error:
            outcomes[name] = error
    results = read_inputs([file for file, _ in waiting.values()], [key for _, key in waiting.values()])
    return outcomes | dict(zip(waiting, results, strict=True))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """All cases, with torch set to unsafe loading and modules that shadow torch's around; and the canary."""
    folder = tmp_path_factory.mktemp("corpus")
    canary, here = folder / "canary", folder / "here"
    with warnings.catch_warnings(action="ignore"):  # torch and zipfile warn of what is made here on purpose
        good, bad = legacy_corpus.good(folder), legacy_corpus.bad(folder, canary)
    assert not set(good) & set(bad)
    here.mkdir()
    for module in ("json", "numpy", "safetensors", "torch"):
        (here / f"{module}.py").write_text(f"open({str(canary)!r}, 'w')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        patch.chdir(here)
        wanted = {name: (path, key) for name, (path, key, _) in good.items()}
        outcomes = read(wanted | {name: (path, None) for name, (path, _) in bad.items()})
    return good, bad, outcomes, canary


STATE_DICTS = (
    "state dict",
    "legacy",
    "training",
    "nested",
    "ordered",
    "parameter",
    "tied",
    "half",
    "not contiguous",
    "prefix",
)
BY_CONTENT = (
    "state dict, called .tar",
    "legacy, called .tar",
    "G.pth.tar",
    "weights",
    "renamed.pth",
    "arrays.pth",
    "checkpoint.npz",
    "checkpoint.npy",
    "array.bin",
)
GOOD = (*STATE_DICTS, *BY_CONTENT, "npz", "npy", "safetensors")


def test_what_people_have_comes_out_bit_for_bit(corpus):
    good, _, outcomes, _ = corpus
    assert sorted(good) == sorted(GOOD)
    for name in GOOD:
        wanted, found = good[name][2], outcomes[name]
        assert not isinstance(found, GanzooError), f"{name}: {found}"
        assert set(found) == set(wanted), name
        assert all(
            found[key].dtype == value.dtype and torch.equal(found[key], value) for key, value in wanted.items()
        ), name


def test_names_come_in_the_order_of_the_file(corpus):
    assert list(corpus[2]["state dict"]) == list(legacy_corpus.tensors())


def test_what_attackers_send_is_refused_in_our_words(corpus):
    _, bad, outcomes, _ = corpus
    assert len(bad) >= 55
    wrong = {}
    for name, (path, says) in bad.items():
        said = str(outcomes[name]) if isinstance(outcomes[name], GanzooError) else f"was read: {outcomes[name]}"
        one_line = "\n" not in said and len(said) < 400 and path.name in said
        if (
            says not in said
            or not one_line
            or "weights_only" in said
            or not isinstance(outcomes[name], CheckpointError)
        ):
            wrong[name] = said
    assert wrong == {}


def test_no_code_ran(corpus):
    assert not corpus[3].exists()


@pytest.mark.parametrize("name", ["system", "eval", "exec", "hub"])
def test_the_corpus_is_live(tmp_path, name):
    canary = tmp_path / "canary"
    data = pickle.dumps(legacy_corpus.gadgets(tmp_path, canary)[name])
    assert not canary.exists()
    pickle.loads(data)  # the gadget makes a file of this test, nothing else
    assert canary.exists()
    sys.modules.pop("hubconf", None)


def test_several_networks_are_listed_and_never_guessed(tmp_path):
    torch.save({"netG": legacy_corpus.tensors(), "netD": legacy_corpus.tensors(1)}, tmp_path / "both.pth")
    none, wrong, right = read({str(key): (tmp_path / "both.pth", key) for key in (None, "netF", "netD")}).values()
    listed = "holds several networks: choose with --key. There are: 'netG' (3 tensors), 'netD' (3 tensors)"
    assert isinstance(none, UsageError) and listed in str(none)
    assert isinstance(wrong, UsageError) and "has no network 'netF'" in str(wrong)
    assert torch.equal(right["last"], legacy_corpus.tensors(1)["last"])


def test_a_reader_that_died_is_one_line(tmp_path, monkeypatch):
    torch.save(legacy_corpus.tensors(), tmp_path / "one.pth")
    monkeypatch.setattr(legacy, "_run", lambda jobs, path: None)
    (error,) = read_inputs([recognize([tmp_path / "one.pth"])], [None])
    assert isinstance(error, CheckpointError) and "crashed the reader" in str(error)


@pytest.mark.parametrize("name", ["notes.txt", "dump.jl", "absent.pth", "folder.pth"])
def test_what_is_no_weights_at_all(tmp_path, name):
    if name == "folder.pth":
        (tmp_path / name).mkdir()
    elif name != "absent.pth":
        (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        recognize([tmp_path / name])


def test_an_unpacked_checkpoint_is_named(tmp_path):
    torch.save(legacy_corpus.tensors(), tmp_path / "netG.pth")
    with zipfile.ZipFile(tmp_path / "netG.pth") as archive:
        archive.extractall(tmp_path / "unpacked")
    for folder in (tmp_path / "unpacked", tmp_path / "unpacked" / "netG"):
        with pytest.raises(UsageError, match="an unpacked checkpoint of torch.save"):
            recognize([folder])


def test_an_archive_of_torch_export_is_a_program(tmp_path):
    with zipfile.ZipFile(tmp_path / "netG.pt2", "w") as archive:
        archive.writestr("netG/archive_format", "pt2")
        archive.writestr("netG/models/model.json", "{}")
    with pytest.raises(CheckpointError, match=r"torch.export.* a program.*torch.export.load"):
        recognize([tmp_path / "netG.pt2"])


def test_a_folder_of_arrays_is_read_by_content_and_nothing_else_in_it_is_opened(tmp_path):
    for number in (10, 2):
        (tmp_path / f"gen_{number}").write_bytes(legacy_corpus.array(numpy.zeros(3)))
    (tmp_path / "notes.txt").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    assert recognize([tmp_path]).names == ("2", "10")


def test_arrays_are_grouped_by_name_and_sorted_by_number(tmp_path):
    for group in ("gen", "dis"):
        for number in (10, 9, 1):
            (tmp_path / f"{group}_{number}.npy").write_bytes(b"x")
    with pytest.raises(UsageError, match="--key 'dis' or --key 'gen'"):
        recognize([tmp_path])
    found = recognize([tmp_path], "gen")
    assert found.names == ("1", "9", "10") and [path.name for path in found.paths] == [
        "gen_1.npy",
        "gen_9.npy",
        "gen_10.npy",
    ]
    assert recognize([tmp_path / "gen_9.npy", tmp_path / "gen_1.npy"]).names == ("1", "9")
