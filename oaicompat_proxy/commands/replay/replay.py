"""`oaicompat-proxy replay FILE`: translates a recorded run with the current code."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

import click

from ...core.answer_options import AnswerOptions
from ...recordings.format import Recording, RecordingError, read


class ReplayFailed(click.ClickException):
    """One line on stderr, exit status 2."""

    exit_code = 2


@click.command("replay")
@click.argument("file", type=click.File("rb"))
@click.option("--check", is_flag=True, help="Compare with the answer that was recorded; exit status 1 if it differs.")
@click.option("--native", is_flag=True, help="Print the gateway's recorded bytes instead.")
@click.option(
    "--serve", type=click.IntRange(0, 65535), metavar="PORT", help="Serve it as a gateway, to use as --upstream."
)
@click.option(
    "--pace",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="Factor for the recorded pauses with --serve; 0 sends all at once.",
)
@click.option("--tool", multiple=True, metavar="NAME", help="A tool that the client declared; may be repeated.")
@click.option(
    "--dialect",
    type=click.Choice(["agentick", "ag-ui"]),
    help="Dialect of the recording; by default that of its first event.",
)
@click.option(
    "--server-tools",
    type=click.Choice(["hide", "reasoning", "content"]),
    default="hide",
    show_default=True,
    help="How the agent's own tool calls are shown.",
)
def replay(
    file: BinaryIO,
    check: bool,
    native: bool,
    serve: int | None,
    pace: float,
    tool: tuple[str, ...],
    dialect: str | None,
    server_tools: str,
) -> None:
    """Translate a recorded run with this release, and print the answer.

    FILE was written by --record, or is a plain event stream of a gateway or an AG-UI agent. A recording
    also has the request's options; for a plain stream --dialect, --tool and --server-tools set them.
    """
    data = file.read()
    spoken = dialect or _find_dialect(data)
    try:
        form = {"include_usage": True}
        plain = AnswerOptions(form=form, tool_names=tool, server_tools=server_tools, dialect=spoken)
        recording = read(data, plain)
    except RecordingError as error:
        raise ReplayFailed(str(error)) from None
    if serve is not None:
        _serve(recording, serve, pace)
    elif check:
        _check(recording)
    else:
        click.echo(recording.bytes_of("native") if native else _answer(recording), nl=False)


def _find_dialect(data: bytes) -> str:
    from ...dialects.registry import find_dialect

    return find_dialect(data) or AnswerOptions().dialect


def _answer(recording: Recording) -> bytes:
    from ...pipeline.comparison import translate

    try:
        outcome = translate(recording)
    except RecordingError as error:
        raise ReplayFailed(str(error)) from None
    return outcome.data if outcome.streamed else outcome.data + b"\n"


def _check(recording: Recording) -> None:
    from ...pipeline.comparison import compare

    try:
        difference = compare(recording)
    except ValueError as error:
        raise ReplayFailed(str(error)) from None
    for line in difference:
        click.echo(line)
    if difference:
        raise SystemExit(1)
    click.echo("the same answer as recorded", err=True)


def _serve(recording: Recording, port: int, pace: float) -> None:
    from .gateway import serve

    try:
        asyncio.run(
            serve(
                recording, port=port, pace=pace, on_listening=lambda url: click.echo(f"a gateway that replays: {url}")
            )
        )
    except OSError as error:
        raise ReplayFailed(f"cannot listen on port {port}: {error.strerror or error}") from None
    except KeyboardInterrupt:
        pass
