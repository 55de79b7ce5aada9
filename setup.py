"""Plain Python, which needs no compiler; OAICOMPAT_COMPILE=1 compiles the hot path with mypyc: see scripts/wheel."""

from __future__ import annotations

import os
from typing import Any

from setuptools import setup

PACKAGE = "oaicompat_proxy"
COMPILED = {
    # 3.2 % of a request
    "core": "answer ascii_json events json_text sse",
    # 7.2 % of a request, 7.3 % of a delta, 7.7 % of one in a burst
    "dialects/agentick": "frames parsers reader requests run_state text_fast_path",
    # 2.0 % of a request, 6.2 % of a delta
    "translation": (
        "agent_tools answer_text citations narration pending_calls prompt text_channel tool_calls translator usage"
    ),
    # 2.9 % of a delta, 4.1 % of one of the Responses API
    "pipeline": "answers",
    # 1.2 % of a request, 3.5 % of a delta
    "api/openai/chat": "collector encoder request",
    # 8.4 % of a delta of the Responses API
    "api/openai/responses/answer": "call_items encoder frames items",
    # 2.8 % of a request, 8.4 % of a delta
    "server/upstream": "http_client http_connection http_exchange run",
}
"""Room → the modules that are compiled, and the instructions that this saves: `scripts/bench --count` with one room
less at a time, from the last to the first. A room is here if it saves 3 % of a request or of a delta.

Nothing here may await in a `finally`: mypyc forgets the exception there, so that a cancellation is lost.
"""


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
