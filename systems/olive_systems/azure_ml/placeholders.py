"""What examples write where a name of one's own belongs: `Your workspace`, `<compute>`, `…`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from olive_systems.azure_ml.options import AzureMLConfig

_CERTAIN = re.compile(
    r"[<>…]|\.\.\.|\{\{"
    r"|^your[ _-]?(?:azure|aml|subscription|resource|workspace|compute|cluster|registry|image|key|tenant|client|train)"
    r"|^your ",
    re.IGNORECASE,
)


def is_placeholder(name: str) -> bool:
    """Whether it can be no name that Azure gave to anything: those have no blanks, to begin with."""
    return not name.strip() or re.search(r"\s", name) is not None or in_path(name)


def in_path(path: str) -> bool:
    """The same of a path, which may have blanks."""
    return _CERTAIN.search(path) is not None


def places(options: AzureMLConfig) -> Iterator[str]:
    """The options, dotted, that are still to be filled in."""
    groups = {
        "azureml_client": ("subscription_id", "resource_group", "workspace_name", "keyvault_name"),
        "aml_docker_config": ("base_image",),
        "aml_environment_config": ("name", "version"),
    }
    for group, names in groups.items():
        of = getattr(options, group)
        for name in names:
            value = getattr(of, name, None)
            if isinstance(value, str) and is_placeholder(value):
                yield f"{group}.{name}"
    for name in ("aml_compute", "datastores"):
        if is_placeholder(getattr(options, name)):
            yield name
