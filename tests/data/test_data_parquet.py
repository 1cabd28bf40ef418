"""Parquet files: columns, splits, class names, and the line for each mistake."""

import json
import sys
from pathlib import Path

import pytest
from pictures_on_disk import assert_refused, load, save, values  # noqa: F401  (load is a fixture)

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
