"""The Kubernetes manifests that we ship: against Kubernetes' own schemas, and against the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from oaicompat_proxy.api.anthropic.request.sessions import SESSION
from oaicompat_proxy.cli import main
from oaicompat_proxy.config.command_line import ENVIRONMENT_PREFIX
from oaicompat_proxy.config.settings import SETTINGS, Config
from oaicompat_proxy.server.app import create_app
from oaicompat_proxy.server.observability import metric_definitions as metric_names
from oaicompat_proxy.server.process.worker import longest_shutdown
from tests.deploy.test_container import final
from tests.support.paths import ROOT
from tests.support.scripted_backend import DEADLINE

FOLDER = ROOT / "scripts" / "deploy" / "kubernetes"
VERSIONS = ("1.29", kubernetes_validate.latest_version())
"""Of Kubernetes: the oldest that a cloud still offers with support, and the newest that the schemas know."""
OBJECTS = ("deployment", "service", "autoscaler", "disruption-budget")
INGRESS = ("ingress", "ingress-nginx")
"""Applied by hand: a cluster has an ingress of its own."""
NGINX = ROOT / "scripts" / "deploy" / "nginx" / "oaicompat"


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    spec: dict[str, Any] = load("deployment")["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    assert isinstance(only, dict)
    return only


@pytest.fixture(scope="module")
def environment(container: dict[str, Any]) -> dict[str, str]:
    """The variables; those that come from a secret are called so."""
    return {each["name"]: each.get("value", "secret") for each in container["env"]}


@pytest.fixture(scope="module")
def config(environment: dict[str, str]) -> Config:
    """What the proxy makes of the variables, with those that the image sets."""
    given = {**environment, **dict(re.findall(rf"({ENVIRONMENT_PREFIX}\w+)=(\S+)", final("ENV")))}
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        return Config(**main.make_context("oaicompat-proxy", []).params)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [*OBJECTS, *INGRESS])
def test_kubernetes_knows_every_word(name: str, version: str) -> None:
    kubernetes_validate.validate(load(name), version, strict=True)


def test_a_word_that_it_does_not_know_would_be_found() -> None:
    wrong = load("deployment")
    wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_kustomization_holds_all_files_and_the_image(container: dict[str, Any]) -> None:
    kustomization = load("kustomization")
    assert kustomization["resources"] == [f"{name}.yaml" for name in OBJECTS]
    (image,) = kustomization["images"]
    assert image["name"] == container["image"]
    known = {f"{name}.yaml" for name in (*OBJECTS, *INGRESS, "kustomization", "prometheus-adapter")}
    assert {each.name for each in FOLDER.iterdir()} == known


def test_kubectl_builds_it() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl on this machine")
    built = subprocess.run([kubectl, "kustomize", FOLDER], capture_output=True, text=True, timeout=DEADLINE, check=True)
    kinds = [each["kind"] for each in yaml.safe_load_all(built.stdout)]
    assert sorted(kinds) == ["Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"]


def test_they_find_each_other() -> None:
    deployment, service, autoscaler, budget = map(load, OBJECTS)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    assert all(each == labels for each in [*selectors, budget["spec"]["selector"]["matchLabels"]])
    target = autoscaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # or each apply would undo what the autoscaler did


def test_every_variable_is_a_setting(environment: dict[str, str]) -> None:
    settings = {ENVIRONMENT_PREFIX + each.name.upper() for each in SETTINGS}
    assert set(environment) <= settings


def test_secrets_stand_in_no_manifest(environment: dict[str, str]) -> None:
    secrets = {ENVIRONMENT_PREFIX + each.name.upper() for each in SETTINGS if each.metadata.get("secret")}
    assert {environment[name] for name in secrets & set(environment)} == {"secret"}


def test_the_proxy_takes_the_settings_and_asks_for_keys(config: Config, container: dict[str, Any]) -> None:
    assert config.has_keys
    (keys,) = [each for each in container["volumeMounts"] if each["name"] == "keys"]
    assert Path(config.api_keys_file).parent == Path(keys["mountPath"])


def test_ports_are_those_that_the_proxy_listens_on(config: Config, container: dict[str, Any]) -> None:
    (port,) = container["ports"]
    assert port["containerPort"] == config.port == int(final("EXPOSE"))
    (served,) = load("service")["spec"]["ports"]
    assert served["targetPort"] == port["name"]
    annotations = load("deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(config.port)


async def test_what_is_probed_and_scraped_is_served(container: dict[str, Any]) -> None:
    annotations = load("deployment")["spec"]["template"]["metadata"]["annotations"]
    asked = {container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")}
    served = {
        each.canonical for each in create_app(Config(demo=True), upstream="http://127.0.0.1:1").router.resources()
    }
    assert asked == {"/healthz", "/readyz"}
    assert asked | {annotations["prometheus.io/path"]} <= served


def test_a_pod_has_the_time_that_the_proxy_takes_to_end(config: Config, pod: dict[str, Any]) -> None:
    assert longest_shutdown(config) < pod["terminationGracePeriodSeconds"] < longest_shutdown(config) + 60


def test_balancers_have_the_time_to_notice_an_end(config: Config, container: dict[str, Any]) -> None:
    probe = container["readinessProbe"]
    assert config.drain_delay > probe["periodSeconds"] * probe["failureThreshold"]


def test_readiness_waits_for_the_proxys_own_reason(config: Config, container: dict[str, Any]) -> None:
    assert container["readinessProbe"]["timeoutSeconds"] > config.connect_timeout


def test_it_runs_as_the_images_nobody_and_writes_nowhere(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == final("USER")
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_replicas_follow_a_metric_that_there_is() -> None:
    (metric,) = load("autoscaler")["spec"]["metrics"]
    (rule,) = load("prometheus-adapter")["rules"]["custom"]
    running = metric_names.RUNNING.name
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"] == rule["seriesQuery"].partition("{")[0] == running


def test_the_ingress_finds_the_service() -> None:
    (rule,) = load("ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = load("service")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"] == {"name": service["spec"]["ports"][0]["name"]}


def test_the_ingress_keeps_a_session_at_one_replica_as_the_nginx_files_do() -> None:
    """Which is tested there with a real nginx, for the header of each client that names its session."""
    annotation = load("ingress")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/upstream-hash-by"]
    snippet = load("ingress-nginx")["data"]["http-snippet"]
    maps = re.findall(r"^map \S+ \$oaicompat_affinity\w* \{\n.*?^\}\n", (NGINX / "names.conf").read_text(), re.S | re.M)
    assert snippet == "".join(maps)
    assert f"hash {annotation} consistent;" in (NGINX / "upstream-replicas.conf").read_text()
    assert SESSION.lower().replace("-", "_") in snippet
    assert "default $request_id;" in snippet, "requests without a name are spread"


@pytest.mark.parametrize(
    ("annotation", "directive"),
    [
        ("proxy-read-timeout", "proxy_read_timeout {}s;"),
        ("proxy-buffering", "proxy_buffering {};"),
        ("proxy-body-size", "client_max_body_size {};"),
    ],
)
def test_the_ingress_passes_answers_on_as_the_nginx_files_do(annotation: str, directive: str) -> None:
    value = load("ingress")["metadata"]["annotations"][f"nginx.ingress.kubernetes.io/{annotation}"]
    assert directive.format(value) in (NGINX / "proxy.conf").read_text()
