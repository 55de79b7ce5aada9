"""Command line options for a proxy's URL and API key."""

from __future__ import annotations

import click
from yarl import URL


class BaseUrl(click.ParamType[URL]):
    """The base URL of an OpenAI API. Without a path it becomes `/v1`, the usual one."""

    name = "url"

    def convert(self, value: str | URL, param: click.Parameter | None, context: click.Context | None) -> URL:
        try:
            url = URL(value if "://" in str(value) else f"http://{value}")
        except ValueError as error:
            self.fail(f"{value!r} is no address: {error}", param, context)
        if url.scheme not in ("http", "https") or not url.host or url.query_string or url.fragment:
            self.fail(f"{value!r} is no base address such as http://127.0.0.1:8700/v1", param, context)
        return url.with_path(url.path.rstrip("/") or "/v1")


def key_header(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


url_option = click.option(
    "--url", type=BaseUrl(), default="http://127.0.0.1:8700/v1", show_default=True, help="Base address of the proxy."
)
key_option = click.option(
    "--api-key",
    envvar="OPENAI_API_KEY",
    show_envvar=True,
    default="",
    metavar="KEY",
    help="Key of the proxy, as for any OpenAI client.",
)
