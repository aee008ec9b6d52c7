"""What an AzureML system's options say of the environment that its jobs run in, and that as the SDK has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from olive_engine import __version__
from olive_engine.contracts import Objection
from olive_engine.digests import digest
from olive_engine.errors import SystemUnavailable
from olive_engine.requirements import extras
from olive_systems.azure_ml.options import AzureMLConfig, EnvironmentConfig

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.ai.ml.entities import Environment

    from olive_systems.azure_ml.conda import Conda

# What reads conda files is imported when one is read: to list the systems takes none.

IMAGES = {
    "cpu": "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1",
    "gpu": "mcr.microsoft.com/azureml/openmpi5.0-cuda12.6-ubuntu24.04:20260621.v1",
}
"""Public base images with conda, for environments that nobody described; by date, so that they stay what they are."""
NEWEST = "latest"
"""The label of an environment's newest version."""
_REGISTRY = "azureml://registries/"
_OF_A_REGISTRY = re.compile(r"azureml://registries/[^/]+/environments/[^/]+/versions/[^/]+")


@dataclass(frozen=True, slots=True)
class JobEnvironment:
    """The environment of a system's jobs: an image, with a conda file or without, or one that the workspace has."""

    image: str = ""
    conda: Conda | None = None
    name: str = ""
    """Of the one that the workspace has, or under which the image is registered; empty: under none."""
    version: str = ""
    label: str = ""
    notes: tuple[str, ...] = ()
    """What a plan should say of it; one of several lines is a diff."""

    @property
    def identity(self) -> str:
        """Digest of what it holds; empty: of the version that a label leads to only the service can tell."""
        if self.image:
            return digest([self.image, self.conda.text if self.conda else ""])
        if self.name.startswith(_REGISTRY):
            return digest([self.name])
        return digest([self.name, self.version]) if self.version else ""

    @property
    def reference(self) -> str:
        """What a job calls one that the workspace has: ``name:version``, or ``name@label``."""
        if self.name.startswith(_REGISTRY):
            return self.name
        return f"{self.name}:{self.version}" if self.version else f"{self.name}@{self.label}"


def described(options: AzureMLConfig) -> JobEnvironment:
    """The environment that the options describe; without any description one that suits the accelerators.

    Raises:
        SystemUnavailable: its conda file cannot be read, or no environment can be made from it.
    """
    from olive_systems.azure_ml.conda import Conda, CondaFault, default
    from olive_systems.azure_ml.dependencies import PYTHON

    extra = _extra(options)
    vault = options.hf_token is True
    docker, registered = options.aml_docker_config, options.aml_environment_config
    if registered is not None:
        label = "" if registered.version else registered.label or NEWEST
        found = JobEnvironment(name=registered.name, version=registered.version or "", label=label)
        where = found.name if found.name.startswith(_REGISTRY) else f"{found.reference} of the workspace"
        return replace(found, notes=(f"jobs run in the environment {where}, as it is: {_must_hold(vault=vault)}",))
    if docker is None or docker.base_image is None:
        conda = Conda(default(extra, key_vault=vault))
        what = f"Python {PYTHON} and what olive-engine {__version__} needs, with its extra {extra}"
        how = "`aml_docker_config` or `aml_environment_config` names another environment"
        return JobEnvironment(IMAGES[extra], conda, notes=(f"jobs run in {IMAGES[extra]}, with {what}; {how}",))
    found = JobEnvironment(docker.base_image, name=docker.name or "", version=docker.version or "")
    if docker.conda_file_path is None:
        return replace(found, notes=(f"jobs run in {found.image}, as it is: {_must_hold(vault=vault)}",))
    try:
        conda = _conda(docker.conda_file_path, extra, key_vault=vault)
    except (OSError, CondaFault) as error:
        why = _why(docker.conda_file_path, error) if isinstance(error, OSError) else str(error)
        raise SystemUnavailable(why) from None
    what = f"jobs run in {found.image}, with the packages of {docker.conda_file_path}"
    changes = (*conda.notices, *([conda.diff] if conda.diff else []))
    return replace(found, conda=conda, notes=(f"{what}, changed for them:" if changes else what, *changes))


def objections(options: AzureMLConfig) -> Iterator[Objection]:
    """What can be said against the description from it and its files alone."""
    docker, registered = options.aml_docker_config, options.aml_environment_config
    if docker is not None and registered is not None:
        what = "two environments are described, by aml_docker_config and by aml_environment_config"
        yield Objection("aml_environment_config", what, "leave one of them out")
    if registered is not None:
        yield from _reference_faults(registered)
    if registered is not None and registered.version and registered.label:
        what = f"the version {registered.version} and a label, which may lead to another version"
        yield Objection("aml_environment_config.label", what, "leave one of them out")
    if docker is None:
        return
    for option in ("dockerfile", "build_context_path"):
        if getattr(docker, option) is not None:
            what = "building an image is not available on Azure ML yet"
            yield Objection(f"aml_docker_config.{option}", what, "name an image as `base_image`, and a conda file")
            return
    if docker.version and not docker.name:
        yield Objection("aml_docker_config.version", "a version to register under, and no name", "write `name`, too")
    if docker.conda_file_path is not None:
        from olive_systems.azure_ml.conda import CondaFault

        place = "aml_docker_config.conda_file_path"
        try:
            _conda(docker.conda_file_path, _extra(options), key_vault=options.hf_token is True)
        except CondaFault as error:
            yield Objection(place, str(error))
        except OSError as error:
            yield Objection(place, _why(docker.conda_file_path, error))


def remedy(packages: str, options: AzureMLConfig) -> str:
    """What to do so that jobs have some distributions, as a hint.

    Args:
        packages: as they stand in a command line of pip.
        options: the system's.
    """
    docker, registered = options.aml_docker_config, options.aml_environment_config
    if registered is not None:
        return f"register a version of the environment {registered.name} that has {packages}"
    if docker is not None and docker.conda_file_path is not None:
        return f"add to the conda file {docker.conda_file_path}, under `pip`: {packages}"
    if docker is not None:
        return f"add to the image {docker.base_image}, or name a conda file with it as `conda_file_path`: {packages}"
    return f"name a conda file with it as `conda_file_path` in `aml_docker_config`: {packages}"


def resolved(environment: JobEnvironment, client: MLClient) -> JobEnvironment:
    """The environment with the version that the workspace has for its label. Asks the service.

    Raises:
        SystemUnavailable: the workspace has no such environment.
    """
    if environment.image or environment.name.startswith(_REGISTRY):
        return environment
    from olive_systems.azure_ml.failures import in_words

    what = environment.reference
    missing = f"the workspace has no environment {what}; name one that `az ml environment list` shows"
    with in_words(f"the environment {what} cannot be looked up", missing=missing):
        if environment.version:
            found = client.environments.get(environment.name, version=environment.version)
        else:
            found = client.environments.get(environment.name, label=environment.label)
    return replace(environment, version=str(found.version), label="")


def for_job(environment: JobEnvironment) -> Environment | str:
    """The environment as a job of the SDK takes it: by reference, or as an image with a conda file."""
    if not environment.image:
        return environment.reference
    import yaml
    from azure.ai.ml.entities import Environment  # `submission` has imported it, without what its dependencies warn of

    conda = yaml.safe_load(environment.conda.text) if environment.conda else None
    # With a name alone the service would count up a new version with every job.
    version = environment.version or environment.identity[:12] if environment.name else None
    return Environment(image=environment.image, conda_file=conda, name=environment.name or None, version=version)


# --- helpers ------------------------------------------------------------------------------------------------------


def _reference_faults(registered: EnvironmentConfig) -> Iterator[Objection]:
    """What is wrong with the name, where it is more than one: a URL, or the short form of the `az` command line."""
    name, place = registered.name, "aml_environment_config.name"
    shape = "azureml://registries/REGISTRY/environments/NAME/versions/VERSION"
    if name.startswith(_REGISTRY) and "/labels/" in name:
        what = "a label of a registry may lead to another version at any time"
        start = name.partition("/labels/")[0]
        yield Objection(place, what, f"name the version that is meant: {start}/versions/VERSION")
    elif name.startswith("azureml:") and not _OF_A_REGISTRY.fullmatch(name):
        what = f"an environment of the workspace is named by its name alone, one of a registry as {shape}"
        short = re.fullmatch(r"azureml:(?P<name>[^:/@]+)[:@](?P<which>[^:/@]+)", name)
        option = "label" if "@" in name else "version"
        yield Objection(place, what, f"write name: {short['name']}, {option}: {short['which']}" if short else "")
    elif name.startswith(_REGISTRY) and (registered.version or registered.label):
        option = "version" if registered.version else "label"
        what = f"the name says a version of its own: {name}"
        yield Objection(f"aml_environment_config.{option}", what, "leave it out")


def _extra(options: AzureMLConfig) -> str:
    """The extra of the engine that suits the first accelerator."""
    device = options.accelerators[0].device if options.accelerators else "cpu"
    return device if device in IMAGES else "cpu"


def _conda(path: str, extra: str, *, key_vault: bool) -> Conda:
    """The conda file, ready for jobs.

    Raises:
        CondaFault: no environment can be made from it.
        OSError: it cannot be read.
    """
    from olive_systems.azure_ml.conda import CondaFault, rewritten

    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CondaFault(f"{path} is not UTF-8 text, as a conda file is") from None
    return rewritten(text, __version__, name=path, extra=extra, key_vault=key_vault)


def _why(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"no such file: '{path}'"
    return f"the conda file {path} cannot be read: {error.strerror}"


def _must_hold(*, vault: bool) -> str:
    """What is asked of an environment that nothing is added to."""
    from olive_systems.azure_ml.conda import PLATFORM
    from olive_systems.azure_ml.dependencies import KEY_VAULT, PYTHON

    names = [each.name for each in (*extras(PLATFORM).get("", ()), *(KEY_VAULT if vault else ()))]
    packages = f"Python {PYTHON} or later, {', '.join(names)}, and what the passes need"
    return f"it must hold {packages}; the engine itself comes with every job"
