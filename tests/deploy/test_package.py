"""The package as users install it: sdist and wheel, built, checked, and installed alone on each Python that is here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest
import yaml

from oaicompat_proxy import __version__
from tests.support.conformance import check_stream
from tests.support.paths import ROOT
from tests.support.processes import Child, stopping
from tests.support.proxy import chat_body
from tests.support.proxy_harness import running_redis

UV = (sys.executable, "-m", "uv")
VERSIONS = ("3.11", "3.12", "3.13")
PACKAGE = ROOT / "oaicompat_proxy"
SERVING = ("console", "redis", "sso", "structured", "tracing", "workers")
"""The extras that the running proxy uses."""
KEY = "a key of thirty-two characters.."


def run(*command: str | Path, **how: object) -> str:
    """The output of a command. It is shown if the command fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **how)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An sdist of what git knows, and a wheel that is built of the sdist alone."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    # without isolation: what is checked is the package, not the way to the registry
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        dist,
        source,
        env={**os.environ, "OAICOMPAT_COMPILE": "0"},
    )
    return dist


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def metadata_of(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return message_from_string(archive.read(name).decode())


pytestmark = pytest.mark.slow


def test_both_have_the_name_and_the_version(dist: Path) -> None:
    assert sorted(each.name for each in dist.iterdir()) == [
        f"oaicompat_proxy-{__version__}-py3-none-any.whl",
        f"oaicompat_proxy-{__version__}.tar.gz",
    ]


def test_the_version_is_semantic_and_the_newest_of_the_changes() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released[0] == __version__


def test_the_image_has_the_tag_of_the_version() -> None:
    kustomization = yaml.safe_load((ROOT / "scripts" / "deploy" / "kubernetes" / "kustomization.yaml").read_text())
    assert [each["newTag"] for each in kustomization["images"]] == [__version__]


def test_the_index_would_take_them(dist: Path) -> None:
    output = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *sorted(dist.iterdir()))
    assert output.count("PASSED") == 2


def test_the_wheel_has_no_common_fault(wheel: Path) -> None:
    assert "OK" in run(sys.executable, "-m", "check_wheel_contents", "--toplevel", "oaicompat_proxy", wheel)


def test_the_wheel_has_every_module_and_all_data(wheel: Path) -> None:
    data = [PACKAGE / "py.typed", *(PACKAGE / "server" / "inspection" / "page").iterdir()]
    expected = {str(path.relative_to(ROOT)) for path in [*PACKAGE.rglob("*.py"), *data]}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == expected
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_sdist_has_the_tests_and_what_they_read(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in (
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "setup.cfg",
        "setup.py",
        "scripts/wheel",
        "scripts/environment",
    ):
        assert name in names


def test_the_metadata_is_complete(wheel: Path) -> None:
    about = metadata_of(wheel)
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    assert about["Description-Content-Type"] == "text/markdown"
    assert about["Summary"]
    assert about["Keywords"]
    assert {*SERVING} <= {*about.get_all("Provides-Extra", [])}
    classifiers = {*about.get_all("Classifier", [])}
    assert {f"Programming Language :: Python :: {version}" for version in VERSIONS} <= classifiers
    assert {"Typing :: Typed", "Environment :: Web Environment"} <= classifiers
    assert any(each.startswith("Development Status :: ") for each in classifiers)
    assert not any(each.startswith("License :: ") for each in classifiers), "the expression says it"


def interpreter(version: str) -> str:
    """The Python of this version: on the PATH, of pyenv, or of uv. Skips where there is none."""
    places = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    of_pyenv = sorted(places.glob(f"{version}.*/bin/python"))
    for candidate in (sys.executable, shutil.which(f"python{version}"), *map(str, of_pyenv)):
        if candidate and says(candidate) == version:
            return candidate
    command = [*UV, "python", "find", "--no-python-downloads", "--managed-python", version]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return found.stdout.strip()
    pytest.skip(f"Python {version} is not installed")


def says(python: str) -> str:
    """The version that a command says it is; a shim of pyenv may have none."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.parametrize("version", VERSIONS)
def test_it_serves_where_only_the_wheel_is_installed(version: str, wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(interpreter(version), "-m", "venv", venv)
    # the dependencies that the wheel names, and nothing else
    run(*UV, "pip", "install", "--quiet", "--python", venv / "bin" / "python", wheel)
    answers(venv / "bin" / "oaicompat-proxy", directory=tmp_path)


@pytest.fixture(scope="module")
def with_lowest_versions(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, with the lowest versions that the wheel allows of its dependencies and of those of its extras."""
    directory = tmp_path_factory.mktemp("lowest")
    python, lowest = directory / "venv" / "bin" / "python", directory / "lowest.in"
    run(interpreter(VERSIONS[0]), "-m", "venv", directory / "venv")
    needed = [each.partition(" extra ==") for each in metadata_of(wheel).get_all("Requires-Dist", [])]
    used = [text.rstrip("; ") for text, _, extra in needed if not extra or extra.strip(" \"'") in SERVING]
    lowest.write_text("\n".join(used))
    run(*UV, "pip", "install", "--quiet", "--python", python, "--resolution", "lowest-direct", "-r", lowest)
    run(*UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    return python.with_name("oaicompat-proxy")


def test_it_serves_with_the_lowest_versions_that_it_allows(with_lowest_versions: Path, tmp_path: Path) -> None:
    """Where a library is already there, pip takes it as it is."""
    answers(with_lowest_versions, directory=tmp_path)


def test_workers_share_a_limit_with_the_lowest_versions(with_lowest_versions: Path, tmp_path: Path) -> None:
    """gunicorn starts the workers, and limits counts the requests of all of them in Redis."""
    command = str(with_lowest_versions)
    kept = {"cwd": tmp_path, "env": plain_environment()}
    demo = Child(command, "--demo", "--port", "0", **kept)
    with stopping(demo), running_redis() as redis:
        gateway = demo.wait_for(r"gateway +(http://127\.0\.0\.1:\d+)")[1]
        flags = ("--workers", "2", "--redis", redis.url, "--api-key", KEY, "--requests-per-minute", "3")
        child = Child(command, "--upstream", gateway, "--port", "0", *flags, **kept)
        with stopping(child):
            base = child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
            assert [status_of_a_run(base) for _ in range(5)] == [200] * 3 + [429] * 2
        assert "Redis fails" not in child.output


def status_of_a_run(base: str) -> int:
    """The status of a chat request on a connection of its own, which any worker may accept."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(f"{base}/v1/chat/completions", chat_body(model="demo"), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code


def plain_environment() -> dict[str, str]:
    """This process's environment, without what would lead the command to the repository or to other settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OAICOMPAT_", "PYTHONPATH"))}


def answers(*command: str | Path, directory: Path) -> None:
    """The command serves the demo agent, outside of the repository, and streams one answer; the page is served, too."""
    child = Child(*map(str, command), "--demo", "--port", "0", cwd=directory, env=plain_environment())
    try:
        base = child.wait_for(r"listens on +(http://127\.0\.0\.1:\d+)")[1]
        assert f"oaicompat-proxy {__version__}" in child.output
        request = urllib.request.Request(
            f"{base}/v1/chat/completions", chat_body(model="demo"), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            assert check_stream(response.read(), include_usage=False).text
        with urllib.request.urlopen(f"{base}/inspect", timeout=60) as response:
            assert b"<html" in response.read()
    finally:
        child.stop()


def test_it_runs_as_a_tool_that_is_installed_for_one_command(wheel: Path, tmp_path: Path) -> None:
    """`uvx`, which is `uv tool run`, makes an environment for the command alone, as `pipx run` does."""
    runner = [*UV, "tool", "run", "--quiet", "--from", str(wheel), "oaicompat-proxy"]
    assert run(*runner, "--version", cwd=tmp_path).startswith(f"oaicompat-proxy, version {__version__} ")
    answers(*runner, directory=tmp_path)
