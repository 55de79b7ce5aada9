"""The inspector's page in a real browser: what it shows, what it hides, who may look, and what its buttons do."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from oaicompat_proxy.server.access.api_keys import digest_of
from tests.browser.chromium import Browser, Page, Site, click, shows
from tests.support.demo import Demo
from tests.support.inspection import API, rows, until_row
from tests.support.proxy import Proxy, StartProxy, chat_body
from tests.support.scripted_gateway import OPENING, Agent, enveloped, failure, frame, run, text, tool_call

pytest_plugins = ["tests.browser.browser_fixtures"]

PICTURE = Path(__file__).parents[2] / "oaicompat_proxy" / "server" / "inspection" / "run.png"
"""In the front page; written again with OAICOMPAT_TEST_PICTURE=1."""

SECRET = "Xyzzyx"
HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>\u202egnp.exe\u0007\u0000\u200b'\"&lt;"


async def open_run(browser: Browser, front: Proxy, row: dict[str, Any]) -> Page:
    """The page of a run, with all that is beside each other opened."""
    page = await browser.open(f"{front.base}/inspect#/run/{row['id']}")
    await shows(page, "document.querySelectorAll('.grp, .note.more').length")
    await page.run("document.querySelectorAll('.grp [aria-expanded=false]').forEach(each => each.click())")
    await page.run("document.querySelectorAll('.item [aria-expanded=false]').forEach(each => each.click())")
    return page


TEXT = "document.body.innerText"
HTML = "document.documentElement.outerHTML"


async def lanes(page: Page) -> list[str]:
    script = "JSON.stringify([...document.querySelectorAll('.lane > span')].map(each => each.textContent))"
    found: list[str] = json.loads(await page.run(script))
    return found


async def test_the_list_lives(browser: Browser, proxy: StartProxy, agent: Agent) -> None:
    go_on = asyncio.Event()
    agent.plays(OPENING, text("Hi"), go_on, run("")[3:])
    front = await proxy(inspect=True, max_runs=1)
    page = await browser.open(f"{front.base}/inspect")
    await shows(page, f"{TEXT}.includes('No run yet')")
    await page.run("window.same = 1")
    first = asyncio.create_task(front.chat())
    await shows(page, "document.querySelector('#rows')?.innerText.includes('running')")
    second = asyncio.create_task(front.chat())
    await shows(page, "document.querySelector('#rows').innerText.includes('waits for a free run')")
    go_on.set()
    await asyncio.gather(first, second)
    await shows(page, "document.querySelectorAll('#rows .badge.good').length === 2")
    assert await page.run("window.same") == 1, "without loading it again"
    await page.run("document.querySelector('#filter').value = 'nothing like this'")
    await page.run("document.querySelector('#filter').dispatchEvent(new Event('input'))")
    assert await page.run(f"{TEXT}.includes('No run matches')")


async def test_a_run_with_two_ticks_and_a_tool_of_the_agent(browser: Browser, demo: Demo, proxy: StartProxy) -> None:
    front = await proxy(upstream=demo.url, inspect=True, inspect_content=True)
    await front.chat("Add 19 and 23 with a tool.", model="demo")
    page = await open_run(browser, front, await until_row(front, state="over"))
    assert {"Ticks", "Text", "Calls", "Tools", "Agent", "Client"} <= set(await lanes(page))
    text = await page.run(TEXT)
    assert await page.run("document.querySelectorAll('.track .k-tick').length") == 2
    for words in ("not needed", "chat.completion.chunk", "Add 19 and 23 with a tool.", "/send"):
        assert words in text
    joined = "[...document.querySelectorAll('.grp')].filter(each => each.querySelector('.cell.right')).length"
    assert await page.run(joined) >= 3
    await click(page, "button", "Replay")
    await shows(page, f"{TEXT}.includes('the same as was sent')")
    await click(page, "button", "Copy as curl")
    command = await shows(page, "document.querySelector('#copy[open] textarea').value")
    assert command.startswith("curl -N 'http://127.0.0.1:")
    assert "Add 19 and 23" in command
    await front.hang_up()


async def test_children_and_errors(browser: Browser, demo: Demo, proxy: StartProxy) -> None:
    front = await proxy(upstream=demo.url, inspect=True)
    await front.chat("[[scenario:spawn]]", model="demo")
    page = await open_run(browser, front, await until_row(front, state="over"))
    assert "Children" in await lanes(page)
    await front.chat("[[scenario:fail]]", model="demo")
    page = await open_run(browser, front, await until_row(front, outcome="agent_error"))
    assert "Demo provider exploded midstream" in await page.run("document.querySelector('.failure').innerText")
    await click(page, ".failure button", "Show frame")
    assert await page.run("document.activeElement.closest('.grp').className.includes('t-bad')")
    await front.hang_up()


async def test_the_end_of_an_answer_is_joined_to_the_frame_that_ended_it(
    browser: Browser, demo: Demo, proxy: StartProxy
) -> None:
    front = await proxy(upstream=demo.url, inspect=True, inspect_content=True)
    for body in (chat_body("[[scenario:fail]]", model="demo"), chat_body(model="demo", stream=False)):
        await front.post(body)
        row = await until_row(front, id=(await rows(front))[-1]["id"], state="over")
        page = await open_run(browser, front, row)
        left = "[...document.querySelectorAll('.grp')].filter(each => each.querySelector('.cell.right')).at(-1)"
        assert "execution_end" in await page.run(f"{left}.querySelector('.cell').innerText")
        assert await page.run(f"{left}.querySelector('.link').className") == "link"
        sent = await page.run("[...document.querySelectorAll('.facts div')].at(-1).innerText")
        assert "0 B" not in sent.split("\n")
    await front.hang_up()


async def test_masking_masks(browser: Browser, proxy: StartProxy, agent: Agent) -> None:
    call = tool_call("c", "look", json.dumps({"for": SECRET}))
    result = frame("tool_result", callId="c", name="look", result={"content": [{"type": "text", "text": SECRET}]})
    reasoning = frame("reasoning_delta", blockType="reasoning", blockIndex=0, delta=SECRET)
    agent.plays(OPENING, reasoning, text(SECRET), call, result, run(SECRET)[3:])
    front = await proxy(inspect=True)
    await front.chat(f"Say {SECRET}", user=SECRET)
    page = await open_run(browser, front, await until_row(front, state="over"))
    assert await page.run("document.querySelector('#privacy').textContent") == "texts masked"
    await click(page, "button", "Replay")
    await shows(page, "document.querySelectorAll('.diff').length")
    await click(page, "button", "Copy as curl")
    await shows(page, "document.querySelectorAll('#copy[open]').length")
    assert SECRET not in await page.run(HTML)
    assert SECRET not in await page.run("document.querySelector('#copy-text').value")
    assert await page.run("document.querySelectorAll('.grp').length") > 3


async def test_hostile_content_is_text(browser: Browser, proxy: StartProxy, agent: Agent) -> None:
    call = tool_call("c", HOSTILE, "{}")
    started = frame("tool_result_start", callId="c", name=HOSTILE)
    done = frame("tool_result", callId="c", name=HOSTILE, result={"content": [{"type": "text", "text": HOSTILE}]})
    odd = enveloped(HOSTILE, {"type": HOSTILE})
    agent.plays(OPENING, text(HOSTILE), call, started, done, odd, failure(HOSTILE))
    front = await proxy(inspect=True, inspect_content=True)
    headers = {"X-Session-Id": "me", "User-Agent": "<b>me</b>", "Content-Type": "application/json"}
    await front.post(chat_body(HOSTILE, model=HOSTILE), headers=headers)
    row = await until_row(front, state="over")
    agent.kept_sessions.add(row["session"])
    page = await open_run(browser, front, row)
    assert await page.run("window.hacked") is None
    assert await page.run("document.querySelectorAll('main img, main script, main b[onerror]').length") == 0
    shown = await page.run(TEXT)
    assert "<img src=x onerror=window.hacked=1>" in shown
    assert "\\u202e" in shown
    for mark in "\u202e\u0007\u0000\u200b":
        assert mark not in await page.run(HTML)
    await page.show(f"{front.base}/inspect")
    await shows(page, "document.querySelector('#rows')?.innerText.includes('<img')")
    assert await page.run("window.hacked") is None


async def test_a_run_is_stopped_with_a_confirmation(browser: Browser, proxy: StartProxy, agent: Agent) -> None:
    agent.plays(OPENING, text("Hi"), "stall")
    front = await proxy(inspect=True)
    asking = asyncio.create_task(front.chat())
    row = await until_row(front, state="running")
    page = await browser.open(f"{front.base}/inspect#/run/{row['id']}")
    await click(page, "button", "Stop run")
    await click(page, "#confirm[open] button", "Keep it running")
    await asyncio.sleep(0)
    assert not asking.done()
    await click(page, "button", "Stop run")
    await click(page, "#confirm[open] button", "Stop the run")
    assert b"agent_aborted" in (await asking).body
    await agent.until(lambda: agent.closed_sessions)
    await shows(page, f"{TEXT}.includes('agent_aborted')")
    assert await page.run("[...document.querySelectorAll('.head button')][0].hidden")


FETCH = """
(async () => {{ try {{
  const answer = await fetch({url!r}, {{method: {method!r}, credentials: 'include'}});
  return answer.status + await answer.text();
}} catch (error) {{ return 'nothing'; }} }})()
"""


async def test_a_page_from_elsewhere_gets_nothing(
    browser: Browser, site: Site, proxy: StartProxy, agent: Agent
) -> None:
    agent.plays(OPENING, text("Hi"), "stall")
    front = await proxy(inspect=True, cors="*")
    asking = asyncio.create_task(front.chat())
    row = await until_row(front, state="running")
    page = await browser.open(site.origin("evil.example"))
    for path in ("/inspect", f"{API}/runs", f"{API}/runs/{row['id']}"):
        assert await page.run(FETCH.format(url=front.base + path, method="GET")) == "nothing"
    assert await page.run(FETCH.format(url=f"{front.base}{API}/runs/{row['id']}/stop", method="POST")) == "nothing"
    framed = f"""new Promise(done => {{ const frame = document.createElement('iframe');
      frame.src = '{front.base}/inspect';
      frame.onload = () => {{ try {{ done(String(frame.contentDocument)) }} catch (error) {{ done('refused') }} }};
      document.body.append(frame); }})"""
    assert await page.run(framed) in ("null", "refused")
    assert not asking.done()
    asking.cancel()
    await asyncio.wait([asking])


async def test_a_key_without_the_right_gets_nothing(browser: Browser, proxy: StartProxy, tmp_path: Path) -> None:
    keys = [f'[keys.{name}]\nhash = "{digest_of(f"sk-{name}").hex()}"\n' for name in ("ada", "bob")]
    (tmp_path / "keys.toml").write_text(f"{keys[0]}inspect = true\n{keys[1]}")
    front = await proxy(inspect=True, api_keys_file=str(tmp_path / "keys.toml"))
    page = await browser.open(f"{front.base}/inspect")
    for key, words in (("sk-bob", "may not inspect"), ("sk-none", "Incorrect API key")):
        await page.run(f"document.querySelector('input').value = {key!r}; document.querySelector('button').click()")
        await shows(page, f"document.readyState === 'complete' && {TEXT}.includes({words!r})")
        assert (await page.run(FETCH.format(url=f"{API}/runs", method="GET"))).startswith("401")
    await page.run("document.querySelector('input').value = 'sk-ada'; document.querySelector('button').click()")
    await shows(page, f"document.readyState === 'complete' && {TEXT}.includes('No run yet')")
    assert await page.run("document.cookie") == "", "no script may read it"


async def test_the_page_asks_for_nothing_else_and_breaks_no_rule(
    browser: Browser, proxy: StartProxy, agent: Agent
) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True)
    await front.chat()
    page = await open_run(browser, front, await until_row(front, state="over"))
    names = await page.run("JSON.stringify(performance.getEntriesByType('resource').map(each => each.name))")
    assert all(name.startswith(front.base) for name in json.loads(names))
    blocked = "(async () => { try { await fetch('http://evil.example/'); return 1 } catch { return 0 } })()"
    assert await page.run(blocked) == 0
    inline = """(() => { const it = document.createElement('script'); it.textContent = 'window.hacked = 1';
      document.body.append(it); return window.hacked })()"""
    assert await page.run(inline) is None


async def test_keyboard_and_screen_reader(browser: Browser, proxy: StartProxy, agent: Agent) -> None:
    agent.plays(run("Hello"))
    front = await proxy(inspect=True)
    await front.chat()
    page = await browser.open(f"{front.base}/inspect")
    await shows(page, "document.querySelectorAll('#rows a').length")
    press = "dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))"
    await page.run("document.body." + press.format(key="j"))
    assert await page.run("document.activeElement.className") == "name"
    await page.run("document.activeElement.click()")
    await shows(page, "document.querySelectorAll('.grp').length")
    nameless = """[...document.querySelectorAll('button, a, input, textarea')].filter(each =>
      !(each.textContent || each.getAttribute('aria-label') || each.title || each.labels?.length)).length"""
    assert await page.run(nameless) == 0
    assert await page.run("document.querySelectorAll('.grp:not([aria-label])').length") == 0
    await page.run("document.body." + press.format(key="Escape"))
    await shows(page, "!document.querySelector('#home').hidden")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
async def test_it_fits_its_screen_and_has_its_picture(
    browser: Browser, demo: Demo, proxy: StartProxy, tmp_path: Path, width: int, scheme: str
) -> None:
    front = await proxy(upstream=demo.url, inspect=True, inspect_content=True)
    await front.chat("Add 19 and 23 with a tool.", model="demo")
    row = await until_row(front, state="over")
    page = await browser.open("about:blank")
    await page.resize(width, 860)
    scheme_feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    await browser.call("Emulation.setEmulatedMedia", scheme_feature, page.session)
    await page.show(f"{front.base}/inspect#/run/{row['id']}")
    await shows(page, "document.querySelectorAll('.grp').length")
    assert await page.run("document.documentElement.scrollWidth") <= width, "nothing stands beside the screen"
    picture = await page.picture()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
    is_wanted = (width, scheme) == (1280, "light") and os.environ.get("OAICOMPAT_TEST_PICTURE")
    (PICTURE if is_wanted else tmp_path / "run.png").write_bytes(picture)
    await page.run("location.hash = ''")
    await shows(page, "document.querySelector('#rows')?.innerText.includes('success')")
    assert await page.run("document.documentElement.scrollWidth") <= width, "nor does the list"
    await front.hang_up()
