"""What runs here: the form of this program, and the build of Python."""

from __future__ import annotations

import platform
import sysconfig
from importlib.machinery import ExtensionFileLoader

from . import sse

FORM = "compiled" if isinstance(getattr(sse, "__loader__", None), ExtensionFileLoader) else "plain Python"
"""Whether `setup.py` has compiled the hot path. One module shows it: all are compiled together, or none."""


PROFILED = "profile-guided"
"""The optimisation that matters most: without it Python takes a third more time."""
_OPTIMISATIONS = {"--enable-optimizations": PROFILED, "--with-lto": "optimised when linked"}


def python_build() -> str:
    """Python with its version, and the optimisations that its own build was given."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS"))
    found = [words for flag, words in _OPTIMISATIONS.items() if flag in flags] or ["not optimised"]
    return f"{platform.python_implementation()} {platform.python_version()} ({', '.join(found)})"


def is_optimised(build: str) -> bool:
    """Whether the build of this description takes no longer than it must."""
    return PROFILED in build
