"""What a web page can do with the proxy, in a real browser: nothing, unless the operator has named its origin."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.browser.chromium import Browser, Page, Site
from tests.support.proxy import CHAT, Proxy, StartProxy
from tests.support.scripted_gateway import OPENING, PATIENCE, Agent, closing, run, text

pytest_plugins = ["tests.browser.browser_fixtures"]

MESSAGE = {"model": "default", "stream": True, "messages": [{"role": "user", "content": "Delete all my files"}]}
BODY = json.dumps(json.dumps(MESSAGE))
"""A request's body, as a string of JavaScript's."""

SIMPLE = "await fetch('{url}', {{method: 'POST', mode: 'no-cors', body: {body}}})"
WITH_JSON = "await fetch('{url}', {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: {body}}})"
BEACON = "navigator.sendBeacon('{url}', {body})"
SANDBOXED = """
const frame = document.createElement('iframe');
frame.sandbox = 'allow-scripts';
frame.srcdoc = `<script>fetch('{url}', {{method: 'POST', mode: 'no-cors', body: ${{JSON.stringify({body})}}}})
  .finally(() => parent.postMessage('done', '*'))</script>`;
const done = new Promise(resolve => addEventListener('message', resolve));
document.body.append(frame);
await done
"""
FORM = """
const frame = document.createElement('iframe');
frame.name = 'target';
document.body.append(frame);
const form = document.createElement('form');
Object.assign(form, {{method: 'POST', action: '{url}', enctype: 'text/plain', target: 'target'}});
const input = document.createElement('input');
Object.assign(input, {{type: 'hidden', name: '{{"user":"', value: '",' + {body}.slice(1)}});
form.append(input);
document.body.append(form);
const loaded = new Promise(resolve => frame.onload = resolve);
form.submit();
await loaded
"""
WAYS = {"simple": SIMPLE, "json": WITH_JSON, "beacon": BEACON, "sandboxed": SANDBOXED, "form": FORM}

CATCHING = "(async () => {{ try {{ {script}; return 'done' }} catch (error) {{ return String(error) }} }})()"

READ = """
(async () => {{
  const answer = await fetch('{url}', {{
    method: 'POST',
    headers: {{'Content-Type': 'application/json', Authorization: 'Bearer none', 'X-Stainless-Lang': 'js'}},
    body: {body},
  }});
  window.reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  return [answer.status, answer.headers.get('x-request-id')];
}})()
"""
FIRST_WORD = """
(async () => {
  let text = '';
  while (!text.includes('"content":"Hel"')) text += (await window.reader.read()).value;
  return text;
})()
"""
REST = """
(async () => {
  let text = '';
  for (let piece; !(piece = await window.reader.read()).done;) text += piece.value;
  return text;
})()
"""


def script(way: str, url: str) -> str:
    return CATCHING.format(script=way.format(url=url, body=BODY))


async def refused(front: Proxy) -> int:
    """Requests for runs that were refused."""
    exposition = (await front.get("/metrics")).body.decode()
    rows = [line for line in exposition.splitlines() if line.startswith("oaicompat_runs_total{")]
    return sum(int(float(row.split()[-1])) for row in rows if 'outcome="refused"' in row)


async def until_refused(front: Proxy) -> None:
    """A beacon is sent when the browser finds the time."""
    async with asyncio.timeout(PATIENCE):
        while not await refused(front):
            pass


@pytest.mark.parametrize("way", WAYS)
async def test_a_page_from_elsewhere_cannot_start_a_run(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent, way: str
) -> None:
    front = await proxy()
    page = await browser.open(site.origin("evil.example"))
    result = await page.run(script(WAYS[way], front.base + CHAT))
    if way == "json":
        assert "TypeError" in result, "the browser has asked first, and was not allowed"
    else:
        await until_refused(front)
    assert agent.exchanges == []


@pytest.mark.parametrize("way", WAYS)
async def test_these_ways_would_work_if_the_proxy_let_them(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent, way: str
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(cors="*")
    page = await browser.open(site.origin("evil.example"))
    await page.run(script(WAYS[way], front.base + CHAT))
    await agent.until(lambda: agent.runs)


async def test_a_page_whose_name_points_to_this_machine_cannot_either(
    browser: Browser, proxy: StartProxy, agent: Agent
) -> None:
    """DNS rebinding: for the browser it is the proxy's own page, so it may read the answers, too."""
    front = await proxy(cors="*")
    rebound = f"http://rebound.example:{front.port}"
    page = await browser.open(f"{rebound}/healthz")
    answer = await page.run(f"fetch('{rebound}{CHAT}', {{method: 'POST', body: {BODY}}}).then(each => each.json())")
    assert answer["error"]["code"] == "host_not_allowed"
    listed = await page.run(f"fetch('{rebound}/v1/models').then(each => each.status)")
    assert (listed, agent.exchanges) == (403, [])


async def open_stream(page: Page, front: Proxy) -> None:
    status, request_id = await page.run(READ.format(url=front.base + CHAT, body=BODY))
    assert status == 200
    assert request_id.startswith("req_"), "a page may read what helps to find a request again"


async def test_a_named_page_can_and_reads_the_stream_as_it_comes(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent
) -> None:
    gate = asyncio.Event()
    agent.plays(OPENING, text("Hel"), gate, text("lo"), closing())
    front = await proxy(cors=f"https://other.example, {site.origin('chat.example')}")
    page = await browser.open(site.origin("chat.example"))
    await open_stream(page, front)
    first = await page.run(FIRST_WORD)
    assert "[DONE]" not in first
    gate.set()
    rest = await page.run(REST)
    assert '"content":"lo"' in rest
    assert rest.endswith("data: [DONE]\n\n")


async def test_a_named_page_that_is_closed_stops_the_run(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent
) -> None:
    agent.plays(OPENING, text("Hel"), asyncio.Event())
    front = await proxy(cors=site.origin("chat.example"))
    page = await browser.open(site.origin("chat.example"))
    await open_stream(page, front)
    await page.run(FIRST_WORD)
    await page.close()
    await agent.until(lambda: agent.runs[0].outcome == "left")


async def test_another_page_cannot_where_one_is_named(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent
) -> None:
    front = await proxy(cors=site.origin("chat.example"))
    page = await browser.open(site.origin("evil.example"))
    await page.run(script(SIMPLE, front.base + CHAT))
    await until_refused(front)
    assert agent.exchanges == []


async def test_a_named_page_can_read_why_it_is_refused(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent
) -> None:
    """The preflight allows all methods and headers."""
    front = await proxy(cors=site.origin("chat.example"))
    page = await browser.open(site.origin("chat.example"))
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/nothing"):
        for method in ("POST", "DELETE", "PUT", "PATCH"):
            how = f"{{method: '{method}', headers: {{'X-Anything': '1', 'Idempotency-Key': '2'}}, body: '{{'}}"
            status, body = await page.run(
                f"fetch('{front.base}{path}', {how}).then(async each => [each.status, await each.json()])"
            )
            assert status in (400, 404, 405)
            assert body["error"]["message"]
