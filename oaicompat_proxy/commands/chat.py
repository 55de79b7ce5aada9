"""`oaicompat-proxy chat`: a conversation in a terminal, through an API of the proxy."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import aiohttp
import click
from yarl import URL

from .apis import api_option
from .client import Answer, AnswerError, Api, Item, ToolCall, ask
from .terminal import open_terminal, without_controls
from .url_option import key_header, key_option, url_option

if TYPE_CHECKING:
    from rich.console import Console

CONNECT_TIMEOUT = 10.0

STYLES = {"reasoning": "dim", "tool": "cyan", "text": None}


@click.command("chat")
@url_option
@click.option("--model", default="default", show_default=True, help="Name of the model: an app of the gateway.")
@api_option
@click.option("--session", default="", metavar="NAME", help="Continue this session of the gateway, and keep it.")
@click.option("--system", default="", metavar="TEXT", help="System message, sent first.")
@key_option
def chat(url: URL, model: str, api: Api, session: str, system: str, api_key: str) -> None:
    """Talk to the agent.

    Ctrl-C stops the answer and the agent; a second Ctrl-C, or Ctrl-D, leaves. If the input is not a terminal, each line
    is a question, and the exit status is 1 if an answer failed. If a tool of the agent waits for approval, chat asks:
    y lets it run.
    """
    headers = {**key_header(api_key), **({"X-Session-Id": session} if session else {})}
    talk = ChatSession(open_terminal(), url, api, model, headers)
    if system:
        talk.items.append({"role": "system", "content": system})
    if not talk.run():
        raise SystemExit(1)


class ChatSession:
    """The conversation so far, and the loop that continues it."""

    def __init__(self, terminal: Console, url: URL, api: Api, model: str, headers: dict[str, str]) -> None:
        self._terminal = terminal
        self._url = url
        self._api = api
        self._model = model
        self._headers = headers
        self._interactive = sys.stdin.isatty()
        # state
        self.items: list[Item] = []
        self._shown: Literal["", "reasoning", "text", "tool"] = ""
        self._all_answered = True

    def run(self) -> bool:
        """Answers questions until the input ends; returns whether all were answered."""
        if self._interactive:
            import readline  # noqa: F401  # line editing and history for input()

            self._print_note(f"{self._model} at {self._url}; Ctrl-C stops an answer, Ctrl-D leaves")
        with asyncio.Runner() as runner:
            client = runner.run(_new_client())
            try:
                for question in self._questions():
                    self._answer(runner, client, {"role": "user", "content": question})
            finally:
                runner.run(client.close())
        return self._all_answered

    def _questions(self) -> Iterator[str]:
        while (line := self._read_line("> ")) is not None:
            if line.strip():
                yield line

    def _read_line(self, prompt: str) -> str | None:
        """The next line; None at the end of the input."""
        try:
            if self._interactive:
                return input(prompt)
            line = sys.stdin.readline()
            return line.rstrip("\n") if line else None
        except (EOFError, KeyboardInterrupt):
            self._terminal.print()
            return None

    def _answer(self, runner: asyncio.Runner, client: aiohttp.ClientSession, *new_items: Item) -> None:
        """Sends the items, then results as long as the agent calls tools. A failed exchange is dropped."""
        answer, began = Answer(), time.monotonic()
        self._shown = ""
        body = self._api.request(self._model, [*self.items, *new_items])
        try:
            runner.run(ask(client, self._url, self._api, body, self._headers, answer, self._print_piece))
        except AnswerError as error:
            self._end_line()
            which = f" [{answer.request_id}]" if answer.request_id else ""
            self._terminal.print(without_controls(f"error: {error}{which}"), style="red")
            self._all_answered = False
            return
        except KeyboardInterrupt:
            self._end_line()
            self._print_note("stopped")
            self.items += [*new_items, {"role": "assistant", "content": answer.text}] if answer.text else []
            return
        self._end_line()
        self._print_summary(answer, time.monotonic() - began)
        before = len(self.items)
        self.items += [*new_items, *answer.items]
        results = [self._ask_result(call) for call in answer.calls]
        if results and None not in results:
            self._answer(runner, client, *(result for result in results if result is not None))
        elif results:
            del self.items[before:]  # the conversation must not contain a call without its result

    def _ask_result(self, call: ToolCall) -> Item | None:
        """The client's answer to the call; None at the end of the input."""
        name = without_controls(call.name)
        self._terminal.print(f"{name} {without_controls(call.arguments)}", style="cyan")
        line = self._read_line(f"let {name} run? y/n> " if call.asks_approval else f"result of {name}> ")
        if line is None:
            return None
        if call.asks_approval:
            return self._api.approval(call, approve=line.strip().lower() in ("y", "yes"))
        return self._api.result(call, line)

    def _print_piece(self, kind: Literal["reasoning", "text", "tool"], piece: str) -> None:
        if self._shown not in ("", kind) or self._shown == "tool":
            self._terminal.print()
        self._shown = kind
        self._terminal.print(without_controls(piece), end="", style=STYLES[kind])

    def _end_line(self) -> None:
        if self._shown:
            self._terminal.print()

    def _print_summary(self, answer: Answer, seconds: float) -> None:
        words = [f"{seconds:.1f} s", f"{answer.tokens} tokens" if answer.tokens is not None else "", answer.request_id]
        if answer.finish_reason not in ("stop", "tool_calls"):
            words.insert(0, f"ended by {answer.finish_reason}")
        if self._interactive:
            self._print_note(", ".join(filter(None, words)))

    def _print_note(self, words: str) -> None:
        self._terminal.print(without_controls(words), style="dim")


async def _new_client() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
    return aiohttp.ClientSession(timeout=timeout, trust_env=True)
