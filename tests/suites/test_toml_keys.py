"""TOML as editors save it, and what is said of TOML that is none."""

import codecs
from pathlib import Path

import pytest

from benchmark.errors import BenchError
from benchmark.suites.toml_keys import Keys

TEXT = 'name = "größe"\nepochs = 2\n[recipe]\nlr = 0.5\n'


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),  # Notepad
        (codecs.BOM_UTF16_LE, "utf-16-le"),  # PowerShell 5's `>` and Out-File
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (b"", "utf-16-le"),
    ],
)
def test_toml_of_any_editor(tmp_path: Path, mark: bytes, encoding: str, ends: str) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(mark + TEXT.replace("\n", ends).encode(encoding))
    keys = Keys.of(file)
    assert keys.text("name") == "größe"
    assert keys.number("epochs", 1, 9, whole=True) == 2
    assert keys.table("recipe").number("lr", 0, 1, whole=False) == 0.5


@pytest.mark.parametrize(
    ("raw", "expected", "got"),
    [
        (b"name = ", "valid TOML in s.toml", "Invalid value (at end of document)"),
        (b"name = 'a'\nname = 'b'", "valid TOML in s.toml", "overwrite a value"),
        (b"a = " + b"[" * 100_000, "valid TOML in s.toml", "brackets too deep"),
        ("name = 'größe'".encode("cp1252"), "UTF-8 text in", "at byte 10 of 14"),
        (b"\0\1\2\3", "UTF-8 text in", "zero byte after 0 characters"),
    ],
)
def test_what_is_no_toml(tmp_path: Path, raw: bytes, expected: str, got: str) -> None:
    (tmp_path / "s.toml").write_bytes(raw)
    with pytest.raises(BenchError) as error:
        Keys.of(tmp_path / "s.toml")
    assert expected in error.value.expected
    assert got in error.value.got
    assert len(str(error.value)) < 500


def test_long_values_and_strange_keys_are_shown_in_short(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(f'a = ["{"x" * 9000}"]\n"b\u200b" = 1\n', encoding="utf-8")
    keys = Keys.of(tmp_path / "s.toml")
    with pytest.raises(BenchError) as error:
        keys.text("a")
    assert len(str(error.value)) < 300
    assert "9004 characters" in error.value.got
    with pytest.raises(BenchError, match=r"got 'b\\u200b'; did you mean 'b'.*cannot be seen"):
        keys.only(["a", "b"])
