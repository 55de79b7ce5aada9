"""`oaicompat-proxy inspect FILE`: shows a recorded run in the browser."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import webbrowser
from typing import BinaryIO

import click

from ..core.answer_options import AnswerOptions
from ..dialects.registry import find_dialect
from ..recordings.format import Recording, RecordingError, read


class InspectFailed(click.ClickException):
    """One line on stderr, exit status 2."""

    exit_code = 2


@click.command("inspect")
@click.argument("file", type=click.File("rb"))
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the loopback; by default any free one.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--inspect-content", is_flag=True, help="Show texts; by default each letter is replaced by x, as in a recording."
)
def inspect(file: BinaryIO, port: int, opens: bool, inspect_content: bool) -> None:
    """Show a recorded run in the browser, the agent's frames beside what the client got.

    FILE was written by --record, downloaded from /inspect, or is a plain event stream of an agent. The page is served
    on the loopback until Ctrl-C.
    """
    from ..server.inspection.file_server import serve_recording

    recording = _read(file.read())

    def on_listening(url: str) -> None:
        click.echo(f"the recorded run: {url}#/run/recording")
        if opens:  # in a thread: some browsers block the call until they exit
            threading.Thread(target=webbrowser.open, args=(f"{url}#/run/recording",), daemon=True).start()

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve_recording(recording, port=port, content=inspect_content, on_listening=on_listening))
    except RecordingError as error:
        raise InspectFailed(str(error)) from None
    except OSError as error:
        raise InspectFailed(f"cannot listen on port {port}: {error.strerror or error}") from None


def _read(data: bytes) -> Recording:
    """Parses FILE. Raises InspectFailed."""
    try:
        recording = read(data, AnswerOptions(dialect=find_dialect(data) or AnswerOptions().dialect))
    except RecordingError as error:
        raise InspectFailed(str(error)) from None
    if not recording.bytes_of("native") and not recording.bytes_of("body"):
        raise InspectFailed("there is no run in this recording")
    return recording
