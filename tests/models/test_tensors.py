"""Files of tensors from outside: whatever lies in them is refused with its reason, quickly and in little memory."""

import hashlib
import os
import resource
import stat
import sys
import time

import hostile_weights
import pytest
import torch
from hostile_weights import DATA, SHAPES, corpus, good, header
from models import file_of
from safetensors.torch import save_file

from ganzoo.errors import CheckpointError
from ganzoo.models import hash_cache
from ganzoo.models.config import WeightsFile
from ganzoo.models.tensors import TensorFile, read_tensors, write_tensors

KINDS = {"a.weight": torch.float32, "a.bias": torch.float32, "count": torch.int64}
WANTED = {name: torch.empty(shape, dtype=KINDS[name], device="meta") for name, shape in SHAPES.items()}
CORPUS = corpus()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def describe(path, dtype="float32") -> WeightsFile:
    """What an honest config.json says of a file, however wrong the file is in itself."""
    size = path.stat().st_size
    digest = "0" * 64 if size > 2**25 else hashlib.sha256(path.read_bytes()).hexdigest()
    return WeightsFile(file="model.safetensors", size=size, sha256=digest, dtype=dtype)


def put(path, content):
    content(path) if callable(content) else path.write_bytes(content)
    return path


def read(path, **options):
    return read_tensors(path, WANTED, describe(path), **options)


def test_the_good_file_is_read_so_that_the_bad_ones_mean_something(tmp_path):
    path = put(tmp_path / "model.safetensors", good())
    for mmap in (True, False):
        found = read(path, mmap=mmap)
        assert found["a.weight"].tolist() == [[0, 0.5, 1], [1.5, 2, 2.5]] and found["a.bias"].tolist() == [3, 3.5, 4]
        assert found["count"].dtype == torch.int64 and found["count"].item() == 7


def test_there_are_enough_cases():
    assert len(CORPUS) >= 87 + 24


@pytest.mark.parametrize("name", CORPUS)
def test_hostile_files_are_refused_with_their_reason(tmp_path, name):
    content, reason = CORPUS[name]
    path = put(tmp_path / "model.safetensors", content)
    with pytest.raises(CheckpointError, match=reason) as refused:
        read(path)
    message = str(refused.value)
    assert str(path) in message and message.isprintable() and len(message) < 1000
    assert not (tmp_path / "canary").exists() and not os.path.exists("canary")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from Linux")
def test_the_whole_corpus_takes_little_memory(tmp_path):
    """In a fork with 300 MB of address space to spare, so that a huge allocation fails even if nothing writes to it."""
    paths = [put(tmp_path / str(number), content) for number, (content, _) in enumerate(CORPUS.values())]
    described = [describe(path) for path in paths]
    child = os.fork()
    if child == 0:
        os._exit(within_limits(paths, described))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def within_limits(paths, described) -> int:
    """0 if all are refused with less than 64 MB; 1 if something else happens; 2 if more is needed."""
    try:
        pages, resident = (
            int(number) * resource.getpagesize() for number in open("/proc/self/statm").read().split()[:2]
        )
        resource.setrlimit(resource.RLIMIT_AS, (pages + 300 * 2**20,) * 2)
        for path, weights in zip(paths, described, strict=True):
            try:
                read_tensors(path, WANTED, weights)
            except CheckpointError:
                continue
            return 1
        return 0 if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - resident < 64 * 2**20 else 2
    except BaseException:
        return 1


@pytest.mark.parametrize("kind", ["directory", "fifo", "device", "loop", "absent", "dangling"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "model.safetensors"
    make = {
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "device": lambda: path.symlink_to("/dev/zero"),
        "loop": lambda: path.symlink_to(path),
        "absent": lambda: None,
        "dangling": lambda: path.symlink_to(tmp_path / "nowhere"),
    }
    make[kind]()
    with pytest.raises(CheckpointError, match="not a regular file|[Tt]oo many|No such file"):
        read_tensors(path, WANTED, WeightsFile(file="model.safetensors", size=100, sha256="0" * 64, dtype="float32"))


def flipped(path, bits):
    """The file with one bit turned over after another, each turned back before the next."""
    with open(path, "r+b", buffering=0) as file:
        for position in range(bits):
            byte = os.pread(file.fileno(), 1, position // 8)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position // 8)
            yield position
            os.pwrite(file.fileno(), bytes([byte]), position // 8)


def test_every_flipped_bit_of_a_header_is_harmless_or_refused(tmp_path):
    path = put(tmp_path / "model.safetensors", good())
    expected, refused, bits = read(path), 0, 8 * (len(good()) - len(DATA))
    expected = {name: tensor.clone() for name, tensor in expected.items()}
    for _ in flipped(path, bits):
        try:
            found = read(path)
        except CheckpointError:
            refused += 1
            continue
        assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert 0.8 * bits < refused < bits  # the metadata's text and the order of keys may change


def test_every_flipped_bit_is_refused_by_the_hash(tmp_path):
    path = put(tmp_path / "model.safetensors", good())
    weights = describe(path)
    for _ in flipped(path, 8 * len(good())):
        with pytest.raises(CheckpointError):
            read_tensors(path, WANTED, weights)
    assert read_tensors(path, WANTED, weights)


def test_all_differences_come_in_one_message_and_very_many_are_counted(tmp_path):
    names = {f"layer{number}.{'x' * 100}": ("F32", [1]) for number in range(500)}
    path = put(tmp_path / "model.safetensors", hostile_weights.entries(names))
    with pytest.raises(CheckpointError) as refused:
        read(path)
    message = str(refused.value)
    assert "503 tensors differ" in message and "'a.weight' is missing" in message and "and 463 more" in message
    assert len(message) < 5000


def test_the_size_and_the_hash_of_the_config_count(tmp_path):
    path = put(tmp_path / "model.safetensors", good())
    right = describe(path)
    with pytest.raises(CheckpointError, match="bytes, not 1000"):
        read_tensors(path, WANTED, WeightsFile(file=right.file, size=1000, sha256=right.sha256, dtype="float32"))
    for mmap in (True, False):
        with pytest.raises(CheckpointError, match="its sha256 differs"):
            read_tensors(
                path, WANTED, WeightsFile(file=right.file, size=right.size, sha256="1" * 64, dtype="float32"), mmap=mmap
            )


@pytest.mark.parametrize("mmap", [True, False])
def test_a_dead_model_is_loaded_when_asked(tmp_path, mmap):
    path = put(tmp_path / "model.safetensors", CORPUS["nan in a weight"][0])
    found = read(path, mmap=mmap, allow_nonfinite=True)
    assert found["a.weight"].isnan().sum() == 1
    with pytest.raises(CheckpointError, match="not finite"):
        read(path, mmap=mmap)


def test_tensors_that_are_not_aligned_are_read(tmp_path):
    order = {"flag": ("U8", [1]), "a.weight": ("F32", [2, 3]), "count": ("I64", [])}
    path = put(tmp_path / "model.safetensors", hostile_weights.entries(order))
    wanted = {
        "flag": torch.empty(1, dtype=torch.uint8),
        "a.weight": torch.empty(2, 3),
        "count": torch.empty((), dtype=torch.int64),
    }
    for mmap in (True, False):
        found = read_tensors(path, wanted, describe(path), mmap=mmap)
        assert found["a.weight"].tolist() == [[0, 0, 0], [0, 0, 0]] and found["count"].item() == 0


@pytest.mark.parametrize("mmap", [True, False])
def test_a_file_without_numbers_is_read(tmp_path, mmap):
    path = put(tmp_path / "model.safetensors", hostile_weights.entries({"empty": ("F32", [0, 3])}))
    found = read_tensors(path, {"empty": torch.empty(0, 3)}, describe(path), mmap=mmap)
    assert found["empty"].shape == (0, 3)


@pytest.mark.parametrize("length", [1, 3, 4 * 2**20 // 4, 4 * 2**20 // 4 + 1, 3_000_000])
@pytest.mark.parametrize("mmap", [True, False])
def test_large_tensors_are_read_and_looked_at_to_the_last_number(tmp_path, length, mmap):
    path, values = tmp_path / "model.safetensors", torch.arange(float(length))
    save_file({"a": values}, path)
    assert torch.equal(read_tensors(path, {"a": values}, describe(path), mmap=mmap)["a"], values)
    values[-1] = float("nan")
    save_file({"a": values}, path)
    with pytest.raises(CheckpointError, match="not finite in 'a'"):
        read_tensors(path, {"a": values}, describe(path), mmap=mmap)


def test_writing_to_mapped_tensors_changes_no_file(tmp_path):
    path = put(tmp_path / "model.safetensors", good())
    read(path)["a.weight"].fill_(9)
    assert path.read_bytes() == good()


# -- what was checked before ------------------------------------------------------------------------


def aged(path):
    """Lets the racy seconds pass for a file: its change lies in the past as far as the clock of `verified` says."""
    return path.stat().st_ctime + hash_cache.RACY_SECONDS + 1


@pytest.fixture
def hashed(monkeypatch):
    """Counts the files whose bytes are looked at."""
    counted, check = [], TensorFile._checked

    def counting(self, *arguments):
        counted.append(self.path)
        return check(self, *arguments)

    monkeypatch.setattr(TensorFile, "_checked", counting)
    return counted


def test_an_unchanged_file_is_hashed_once(tmp_path, monkeypatch, hashed, cache):
    path = put(tmp_path / "model.safetensors", good())
    weights, now = describe(path), aged(path)
    monkeypatch.setattr(hash_cache, "clock", lambda: now)
    for _ in range(3):
        read_tensors(path, WANTED, weights)
    assert len(hashed) == 1 and (cache / "checked.json").is_file()
    read_tensors(path, WANTED, weights, verify=True)
    read_tensors(path, WANTED, weights, mmap=False)
    assert len(hashed) == 3
    with pytest.raises(CheckpointError, match="sha256"):
        read_tensors(path, WANTED, WeightsFile(file=weights.file, size=weights.size, sha256="1" * 64, dtype="float32"))


def test_a_file_that_was_just_written_is_not_trusted_next_time(tmp_path, hashed, cache):
    path = put(tmp_path / "model.safetensors", good())
    for _ in range(2):
        read(path)
    assert len(hashed) == 2 and not (cache / "checked.json").exists()


def test_a_changed_or_replaced_file_is_hashed_again(tmp_path, monkeypatch, hashed):
    path = put(tmp_path / "model.safetensors", good())
    weights = describe(path)
    monkeypatch.setattr(hash_cache, "clock", lambda: time.time() + 10)
    read_tensors(path, WANTED, weights)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01")
    os.utime(path, ns=times)  # the time of the content can be put back, that of the change cannot
    with pytest.raises(CheckpointError, match="sha256"):
        read_tensors(path, WANTED, weights)
    other = put(tmp_path / "other", good())
    os.replace(other, path)
    read_tensors(path, WANTED, weights)
    assert len(hashed) == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b'{"format": 1}', b'{"format": 2, "checked": {}}', b'{"format": 1, "checked": {"1:2": 3}}'],
)
def test_a_damaged_record_of_checks_costs_a_check(tmp_path, cache, hashed, monkeypatch, content):
    path = put(tmp_path / "model.safetensors", good())
    cache.mkdir()
    (cache / "checked.json").write_bytes(content)
    now = aged(path)
    monkeypatch.setattr(hash_cache, "clock", lambda: now)
    for _ in range(2):
        read(path)
    assert len(hashed) == 1


def test_where_nothing_can_be_recorded_every_load_checks(tmp_path, cache, hashed, monkeypatch):
    cache.write_text("a file in the way")
    path = put(tmp_path / "model.safetensors", good())
    now = aged(path)
    monkeypatch.setattr(hash_cache, "clock", lambda: now)
    for _ in range(2):
        read(path)
    assert len(hashed) == 2


def test_dead_models_are_not_recorded(tmp_path, monkeypatch, cache):
    path = put(tmp_path / "model.safetensors", CORPUS["nan in a weight"][0])
    now = aged(path)
    monkeypatch.setattr(hash_cache, "clock", lambda: now)
    read(path, allow_nonfinite=True)
    with pytest.raises(CheckpointError, match="not finite"):
        read(path)


def test_the_record_of_checks_does_not_grow_without_end(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(hash_cache, "KEPT", 3)
    monkeypatch.setattr(hash_cache, "clock", lambda: time.time() + 10)
    paths = [put(tmp_path / str(number), good()) for number in range(5)]
    for path in paths:
        read(path)
    kept = hash_cache._read()
    assert len(kept) == 3 and hash_cache.is_verified(paths[-1].stat(), describe(paths[-1]).sha256)


# -- writing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_what_is_written_is_read(tmp_path, dtype):
    base = torch.randn(4, 6)
    tensors = {"a": base.t(), "b": base[1:3], "c": torch.tensor(3), "e": base}
    tensors["d"] = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    path = tmp_path / "model.safetensors"
    weights = write_tensors(path, tensors, dtype)
    assert weights == describe(path, dtype) and weights.dtype == dtype
    found = read_tensors(path, tensors, weights)
    for name, tensor in tensors.items():
        kept = tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
        assert torch.equal(found[name], kept) and found[name].dtype == kept.dtype
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(tmp_path.stat().st_mode) & 0o666


@pytest.mark.parametrize(
    ("tensor", "dtype", "reason"),
    [
        (torch.tensor([1.0, float("nan")]), "float32", "'a' holds values that are not finite."),
        (torch.tensor([1e6]), "float16", "as float16; store it as float32"),
        (torch.tensor([1j]), "float32", "complex64"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, tensor, dtype, reason):
    with pytest.raises(CheckpointError, match=reason):
        write_tensors(tmp_path / "model.safetensors", {"a": tensor}, dtype)
    assert not list(tmp_path.iterdir())


def test_header_only_reads_no_numbers(tmp_path):
    path = put(tmp_path / "model.safetensors", file_of(header(), DATA))
    with TensorFile(path) as file:
        assert list(file.entries) == ["a.weight", "a.bias", "count"] and file.entries["a.weight"].shape == (2, 3)
