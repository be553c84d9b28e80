"""Names of files: only such as are safe below a folder, on every system."""

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hso_core.files.file_names import check_file_name
from hso_core.files.safe_file import FileError


@pytest.mark.parametrize(
    ("name", "checked"),
    [
        ("schedule", "schedule"),
        (" portraits/soft light ", "portraits/soft light"),
        ("sdxl\\fast", "sdxl/fast"),
        ("v1.5 %year%-%month%", "v1.5 %year%-%month%"),
        ("光の風景", "光の風景"),
        ("console", "console"),
        ("a..b", "a..b"),
    ],
)
def test_ordinary_names(name, checked):
    assert check_file_name(name) == checked


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("a//b", "has an empty part"),
        ("a/", "has an empty part"),
        ("..", r"must not contain the part '\.\.'"),
        ("../../etc/passwd", r"must not contain the part '\.\.'"),
        ("a/../b", r"must not contain the part '\.\.'"),
        ("..\\..\\b", r"must not contain the part '\.\.'"),
        ("a/./b", r"must not contain the part '\.'"),
        ("/etc/passwd", "must not be an absolute path"),
        ("\\\\server\\share", "must not be an absolute path"),
        ("C:\\x", "must not be an absolute path"),
        ("c:x", "must not be an absolute path"),
        ("ab:stream", "contains ':'"),
        ("a\0b", r"contains '\\x00'"),
        ("a\nb", r"contains '\\n'"),
        ("what?", "contains '\\?'"),
        ("CON", "contains 'CON', which is the name of a device"),
        ("x/nul.txt", "contains 'nul.txt', which is the name of a device"),
        ("com1", "the name of a device"),
        ("LPT\u00b2", "the name of a device"),
        (".hidden", "starts with a dot"),
        ("a/b.", "ends with a dot"),
        ("~/x", "a tilde"),
        ("x" * 201, "is too long"),
        ("光" * 67, "is too long"),
        ("a/b/c/d/e", "goes 4 folders deep; 3 are allowed"),
        ("\ud800", "half of a character"),
    ],
)
def test_dangerous_names_are_refused(name, message):
    with pytest.raises(FileError, match=message) as caught:
        check_file_name(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 250


@given(st.text(max_size=40))
def test_whatever_is_let_through_stays_below_its_folder(name):
    try:
        checked = check_file_name(name)
    except FileError:
        return
    for flavour in (PurePosixPath, PureWindowsPath):
        path = flavour(checked)
        assert not path.is_absolute() and not path.drive and ".." not in path.parts
        assert (flavour("root") / path).is_relative_to("root")
