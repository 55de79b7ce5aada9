"""How this program and its Python interpreter were built."""

from __future__ import annotations

import platform
import sysconfig
from importlib.machinery import ExtensionFileLoader

from . import sse

FORM = "compiled" if isinstance(getattr(sse, "__loader__", None), ExtensionFileLoader) else "plain Python"
"""Whether `setup.py` has compiled the hot path. It compiles all of its modules or none, so one is looked at."""


PROFILED = "profile-guided"
"""The optimisation that matters most: without it Python takes a third more time."""
_OPTIMISATIONS = {"--enable-optimizations": PROFILED, "--with-lto": "optimised when linked"}


def python_build() -> str:
    """Name and version of the interpreter, and the optimisations of its build."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS"))
    found = [words for flag, words in _OPTIMISATIONS.items() if flag in flags] or ["not optimised"]
    return f"{platform.python_implementation()} {platform.python_version()} ({', '.join(found)})"


def is_optimised(build: str) -> bool:
    """Whether this description (of `python_build`) is of a profile-guided build."""
    return PROFILED in build
