from __future__ import annotations

import sys

import pytest

from oaicompat_proxy.commands.terminal import MissingPackage, open_terminal, without_controls


def test_an_agents_words_cannot_drive_a_terminal() -> None:
    assert without_controls("a\x1b[2Jb\x07\x9bc\r\n\td é 😀") == "a[2Jbc\n\td é 😀"


def test_words_in_brackets_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    open_terminal().print("[red]x[/] [0]")
    assert capsys.readouterr().out == "[red]x[/] [0]\n"


def test_without_the_extra_the_error_names_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(MissingPackage, match=r"oaicompat-proxy\[console\]") as raised:
        open_terminal()
    assert raised.value.exit_code == 2
