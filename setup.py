"""Plain Python, which needs no compiler; OAICOMPAT_COMPILE=1 compiles the hot path with mypyc: see scripts/wheel."""

from __future__ import annotations

import os
from typing import Any

from setuptools import setup

PACKAGE = "oaicompat_proxy"
COMPILED = {
    "core": "answer ascii_json events json_text sse",
    "dialects/agentick": "frames parsers reader requests run_state text_fast_path",
    "translation": (
        "agent_tools answer_text citations narration pending_calls prompt text_channel tool_calls translator usage"
    ),
    "pipeline": "answers",
    "api/openai/chat": "collector encoder request",
    "api/openai/responses": "call_items encoder frames items",
    "server/upstream": "http_client http_connection http_exchange run",
    "server/answering": "event_stream relay",
}
"""Room → the modules of it that are compiled."""


def compiled() -> list[Any]:
    """The extension modules of the compiled form."""
    from mypyc.build import mypycify

    files = [f"{PACKAGE}/{room}/{name}.py" for room, names in COMPILED.items() for name in names.split()]
    # a C file for each module, so that all cores compile
    return mypycify(
        files, only_compile_paths=files, opt_level="2", debug_level="0", multi_file=True, group_name=PACKAGE
    )


if __name__ == "__main__":
    setup(
        ext_modules=compiled() if os.environ.get("OAICOMPAT_COMPILE", "0") != "0" else [],
        options={"build_ext": {"parallel": os.cpu_count()}},
    )
