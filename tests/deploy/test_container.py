"""The file of the container image: no image is built here, but each of its words is held against the project."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oaicompat_proxy import __version__
from oaicompat_proxy.config.command_line import ENVIRONMENT_PREFIX
from oaicompat_proxy.config.settings import SETTINGS, Config, ConfigError
from tests.support.paths import ROOT
from tests.support.processes import free_port, port_of, proxy

DOCKERFILE = ROOT / "scripts" / "deploy" / "container" / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Name and arguments, in order, on one line each."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.M)
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines if line)]


def arguments(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def final(name: str) -> str:
    """The instructions of the last stage that occur once."""
    everything = instructions()
    last = max(number for number, (each, _) in enumerate(everything) if each == "FROM")
    (only,) = [rest for each, rest in everything[last:] if each == name]
    return only


def copied_from_here(target: Path) -> Path:
    """The build stage's folder, made as the file says."""
    for rest in arguments("COPY"):
        if rest.startswith("--from="):
            continue
        *sources, to = rest.split()
        for source in sources:
            place = target / to / Path(source).name if to.endswith("/") else target / to
            place.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, place)
    return target


def test_what_is_copied_is_the_whole_program(tmp_path: Path) -> None:
    copied = copied_from_here(tmp_path)
    command = [sys.executable, "-P", "-c", "import oaicompat_proxy as it; from oaicompat_proxy.cli import main; main()"]
    environment = {**os.environ, "PYTHONPATH": str(copied)}
    done = subprocess.run(
        [*command, "--version"], cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert __version__ in done.stdout, done.stderr


def test_what_is_copied_is_all_that_the_build_reads(tmp_path: Path) -> None:
    copied = copied_from_here(tmp_path)
    setup = configparser.ConfigParser()
    setup.read(copied / "setup.cfg")
    named = [setup["metadata"]["long_description"].removeprefix("file: "), setup["metadata"]["license_files"]]
    assert all((copied / name).is_file() for name in [*named, "setup.py"])


def test_the_images_extras_and_paths_exist() -> None:
    run = " ".join(arguments("RUN"))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = re.search(r'\.whl\)\[(.+)\]"', run)
    assert extras
    assert set(extras[1].split(",")) <= set(setup["options.extras_require"])
    place = re.search(r"-m venv --without-pip (\S+)", run)
    assert place
    assert final("COPY") == f"--from=build {place[1]} {place[1]}"
    assert f"PATH={place[1]}/bin:" in final("ENV")
    assert (
        f"{json.loads(final('ENTRYPOINT'))[0]} = oaicompat_proxy.cli:main"
        in setup["options.entry_points"]["console_scripts"]
    )


def test_what_it_installs_is_the_compiled_wheel() -> None:
    (built,) = [rest.split() for rest in arguments("RUN") if rest.startswith("scripts/")]
    assert built[0] == "scripts/wheel"
    assert "OAICOMPAT_COMPILE=1" in (ROOT / built[0]).read_text()
    assert f'"$(ls {built[1]}/*.whl)[' in arguments("RUN")[-1]
    assert "gcc" in arguments("RUN")[0].split(), "mypyc needs a compiler"


def test_all_stages_stand_on_a_python_that_is_new_enough() -> None:
    assert {each.split()[0] for each in arguments("FROM")} == {"python:${PYTHON}-slim"}
    (given,) = arguments("ARG")
    assert tuple(map(int, given.removeprefix("PYTHON=").split("."))) >= (3, 11)


def test_it_runs_as_nobody_known_by_number() -> None:
    user, group = map(int, final("USER").split(":"))
    assert user > 1000
    assert group > 1000


def test_it_sets_what_exists_and_listens_on_the_port_that_is_shown() -> None:
    names = re.findall(rf"{ENVIRONMENT_PREFIX}(\w+)=", final("ENV"))
    assert names == ["HOST"]
    assert set(map(str.lower, names)) <= {each.name for each in SETTINGS}
    assert int(final("EXPOSE")) == Config(demo=True).port


def test_everybody_can_reach_it_so_it_wants_keys() -> None:
    with pytest.raises(ConfigError, match="give keys"):
        Config(upstream="http://127.0.0.1:1", host="0.0.0.0")


@pytest.mark.parametrize("alive", [True, False])
def test_its_health_check_knows_whether_the_proxy_lives(alive: bool) -> None:
    instruction = final("HEALTHCHECK")
    program, *words = json.loads(instruction[instruction.index("CMD ") + 4 :])
    assert program == "python"

    def check(port: int) -> int:
        environment = {**os.environ, f"{ENVIRONMENT_PREFIX}PORT": str(port)}
        return subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=False).returncode

    if alive:
        with proxy() as base:
            assert check(port_of(base)) == 0
    else:
        assert check(free_port()) == 1
