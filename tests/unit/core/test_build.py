from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from oaicompat_proxy.core import sse
from oaicompat_proxy.core.build import FORM, is_optimised, python_build


def test_the_form_is_that_of_the_files() -> None:
    assert ("plain Python" if str(sse.__file__).endswith(".py") else "compiled") == FORM


def test_a_build_of_python_has_its_version() -> None:
    assert python_build().startswith(f"{platform.python_implementation()} {platform.python_version()} (")


@pytest.mark.parametrize(
    ("flags", "optimised", "words"),
    [
        ("'--enable-optimizations' '--with-lto'", True, "(profile-guided, optimised when linked)"),
        ("'--enable-shared'", False, "(not optimised)"),
        ("'--with-lto'", False, "(optimised when linked)"),
        (None, False, "(not optimised)"),
    ],
)
def test_only_a_profile_makes_it_an_optimised_one(
    monkeypatch: pytest.MonkeyPatch, flags: str | None, optimised: bool, words: str
) -> None:
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: flags)
    assert python_build().endswith(words)
    assert is_optimised(python_build()) is optimised


def test_nothing_is_asked_of_python_when_the_proxy_starts() -> None:
    look = "import sys, oaicompat_proxy.core.build; print([name for name in sys.modules if '_sysconfigdata' in name])"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "[]\n"
