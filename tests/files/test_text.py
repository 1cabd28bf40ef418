"""Names and error texts from outside in messages: one short printable line, whatever they hold."""

from pathlib import Path

import pytest

from ganzoo.files.text import in_path, one_line, quoted, reason

HOSTILE = ["a\nb", "\x1b[2J", "x" * 10_000, "\udcff", "", "it's", "\u202e"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_one_short_printable_line_in_quotes(name):
    for text in (quoted(name), in_path(name or "-"), one_line(name), one_line(ValueError(name))):
        assert text.isprintable() and len(text) <= 300
    assert quoted(name)[0] == quoted(name)[-1] == "'" and len(quoted(name)) <= 82


def test_the_end_of_a_long_name_is_kept():
    assert quoted(f"{'folder/' * 50}picture.png").endswith("picture.png'")
    assert len(quoted(Path("folder/" * 20))) > 100, "paths may be longer"


def test_other_values_are_written_as_python_does():
    assert [quoted(value) for value in (True, 2, None, [1, "a"], b"\n")] == ["True", "2", "None", "[1, 'a']", r"b'\n'"]
    assert len(quoted([0] * 1000)) <= 80


def test_a_plain_word_needs_no_quotes_in_a_path():
    assert in_path("learning_rate.x-1") == "learning_rate.x-1"
    assert in_path("learning rate") == "'learning rate'"


def test_errors_say_their_reason(tmp_path):
    with pytest.raises(OSError) as caught:
        (tmp_path / "absent").read_bytes()
    assert reason(caught.value) == "No such file or directory" and "absent" in one_line(caught.value)
    assert reason(ValueError("two\n  lines")) == "two lines"
    assert reason(KeyError()) == one_line(KeyError()) == "KeyError"
    assert one_line("") == ""
