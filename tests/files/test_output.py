"""Paths that a command may write to: nothing is written over unless that is asked for."""

import pytest

from ganzoo.errors import UsageError
from ganzoo.files.output_checks import check_new_file, check_new_folder


def test_a_new_or_empty_folder_passes(tmp_path):
    check_new_folder(tmp_path / "absent")
    check_new_folder(tmp_path)


@pytest.mark.parametrize("name", ["file", ".hidden", ".tmp-1-ab", ".lock"])
def test_a_folder_with_content_is_in_the_way(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="is in the way: find another"):
        check_new_folder(tmp_path, "find another")
    if name in (".tmp-1-ab", ".lock"):
        check_new_folder(tmp_path, leftovers=True)
    else:
        with pytest.raises(UsageError):
            check_new_folder(tmp_path, leftovers=True)


def test_a_file_or_a_broken_link_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    for name in ("file", "link"):
        with pytest.raises(UsageError, match=f"{name} is in the way"):
            check_new_folder(tmp_path / name)


def test_a_file_is_replaced_only_if_asked(tmp_path):
    path = tmp_path / "picture.png"
    check_new_file(path, replace=False)
    path.write_text("mine")
    check_new_file(path, replace=True)
    with pytest.raises(UsageError, match="picture.png is in the way: .*--force"):
        check_new_file(path, replace=False)
    with pytest.raises(UsageError, match="is in the way"):
        check_new_file(tmp_path, replace=True)
    with pytest.raises(UsageError, match="There is no folder .*absent to write a.png into"):
        check_new_file(tmp_path / "absent" / "a.png", replace=True)
