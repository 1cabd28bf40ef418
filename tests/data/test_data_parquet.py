"""Parquet files: columns, splits, class names, and the line for each mistake."""

import json
import sys
from pathlib import Path

import pytest
from pictures_on_disk import assert_refused, load, save, values  # noqa: F401  (load is a fixture)

from ganzoo.data import parquet as reader
from ganzoo.data.parquet import RowNames, label_values, parquet_source
from ganzoo.errors import DataError, UsageError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write_parquet(path: Path, greys, labels=None, kind="struct", names=None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = path.parent / "image.tmp.png"
    encoded = [None if grey is None else save(image, grey).read_bytes() for grey in greys]
    image.unlink(missing_ok=True)
    cells = encoded if kind == "binary" else [{"bytes": data, "path": "x.png"} for data in encoded]
    columns = {"img" if kind == "binary" else "image": cells}
    if labels is not None:
        columns["label"] = labels
    table = pyarrow.table(columns)
    if names:
        features = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    parquet.write_table(table, path, row_group_size=2)


@pytest.mark.parametrize("kind", ["struct", "binary"])
def test_parquet_folder_takes_the_training_split(tmp_path, load, kind):
    folder = tmp_path / "set"
    write_parquet(folder / "data/train-00000-of-00002.parquet", [1, 2, 3], [0, 1, 0], kind, ["cat", "dog"])
    write_parquet(folder / "data/train-00001-of-00002.parquet", [4, 5], [1, 1], kind, ["cat", "dog"])
    write_parquet(folder / "data/test-00000-of-00001.parquet", [9], [0], kind)
    data = load(folder)
    assert values(data) == [1, 2, 3, 4, 5] and data.labels.tolist() == [0, 1, 0, 1, 1]
    assert data.classes == ("cat", "dog")
    single = load(folder / "data/test-00000-of-00001.parquet")
    assert values(single) == [9]


def test_parquet_labels(tmp_path, load):
    write_parquet(tmp_path / "text.parquet", [1, 2, 3], ["b", "a", "b"])
    data = load(tmp_path / "text.parquet")
    assert data.labels.tolist() == [1, 0, 1] and data.classes == ("a", "b")
    write_parquet(tmp_path / "none.parquet", [1, 2], [-1, -1])
    assert load(tmp_path / "none.parquet").labels is None
    write_parquet(tmp_path / "some.parquet", [1, 2], [0, None])
    assert_refused(load, tmp_path / "some.parquet", "1 of 2 rows have no label", DataError)


def test_parquet_mistakes(tmp_path, load, monkeypatch):
    write_parquet(tmp_path / "paths.parquet", [1, None])
    assert_refused(load, tmp_path / "paths.parquet", "row 1.*only a path", DataError)
    parquet.write_table(pyarrow.table({"image": [[1, 2]]}), tmp_path / "nested.parquet")
    assert_refused(load, tmp_path / "nested.parquet", "encoded images as bytes", DataError)
    parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "text.parquet")
    assert_refused(load, tmp_path / "text.parquet", "it has text", DataError)
    (tmp_path / "junk.parquet").write_bytes(b"PAR1junk")
    assert_refused(load, tmp_path / "junk.parquet", "cannot be read as Parquet", DataError)
    write_parquet(tmp_path / "tests/test-00000-of-00001.parquet", [1])
    assert_refused(load, tmp_path / "tests", "no split called 'train'.*test", UsageError)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert_refused(load, tmp_path / "paths.parquet", r"ganzoo\[parquet\]", UsageError)


@pytest.fixture
def little_memory(monkeypatch):
    """The limit of a row group, in bytes."""
    monkeypatch.setattr(reader, "LEAST_LIMIT", 100_000)
    monkeypatch.setattr(reader, "available_bytes", lambda: 0)
    return 100_000


def test_a_row_group_that_memory_does_not_hold_is_refused_with_the_way_out(tmp_path, load, little_memory):
    write_parquet(tmp_path / "fits.parquet", range(1, 200))  # in row groups of two
    assert values(load(tmp_path / "fits.parquet")) == list(range(1, 200))
    parquet.write_table(pyarrow.table({"image": [bytes([n]) * 40_000 for n in range(3)]}), tmp_path / "large.parquet")
    assert_refused(load, tmp_path / "large.parquet", "row group 0 has 12.* bytes.*write smaller row groups", DataError)


def repeated(path: Path, column: str, value, rows: int):
    """A file whose row group states the bytes of one value, and holds it in every row."""
    kind = pyarrow.string() if isinstance(value, str) else pyarrow.binary()
    indices = pyarrow.array([0] * rows, pyarrow.int32())
    table = {column: pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array([value], kind))}
    if column == "label":
        table = {"image": [b"x"] * rows, **table}
    parquet.write_table(pyarrow.table(table), path, store_schema=False)
    return path


def test_a_row_group_that_grows_beyond_what_it_states_is_read_to_the_limit_and_once(
    tmp_path, load, little_memory, monkeypatch
):
    path, opened = repeated(tmp_path / "grows.parquet", "image", b"x" * 30_000, 1000), []
    real = parquet.ParquetFile
    monkeypatch.setattr(parquet, "ParquetFile", lambda *given, **named: opened.append(1) or real(*given, **named))
    assert_refused(load, path, "1000 of 1000 images .*row group has more than 100000 bytes", DataError)
    assert len(opened) == 2  # for what it states, and for its rows


def test_labels_that_are_equal_are_one_object_and_their_bytes_are_bounded(tmp_path, little_memory):
    path = repeated(tmp_path / "labels.parquet", "label", "x" * 2000, 5000)
    labels = label_values(path, "label", little_memory, "labels")
    assert len(labels) == 5000 and len({id(label) for label in labels[:1000]}) == 1
    with pytest.raises(DataError, match="labels have more than 1000 bytes"):
        label_values(path, "label", 1000, "labels")


def test_more_rows_than_any_images_are_refused(tmp_path, monkeypatch):
    write_parquet(tmp_path / "one.parquet", [1, 2, 3])
    monkeypatch.setattr(reader, "MOST_ROWS", 5)
    paths = [tmp_path / "one.parquet"]
    assert len(parquet_source(paths, ["one"], "identity", "name").names) == 3
    with pytest.raises(DataError, match="more than 5 rows"):
        parquet_source(2 * paths, ["one", "two"], "identity", "name")


def test_names_of_rows_are_made_when_they_are_asked_for():
    names = RowNames([("a", 2), ("b", 10**12)])
    assert len(names) == 10**12 + 2 and names[1] == "a row 1" and names[2] == "b row 0"
    assert names[-1] == f"b row {10**12 - 1}" and names[1:3] == ["a row 1", "b row 0"]
    with pytest.raises(IndexError):
        names[10**12 + 2]
