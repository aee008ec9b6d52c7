"""ONNX Runtime's execution providers: which distribution brings which, and what is installed here.

Nothing of ONNX Runtime is imported: its distributions install the same module, and the files of the one installed last
say whose they are.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from olive_engine.requirements import package_version

CPU = "CPUExecutionProvider"
_SUFFIX = "executionprovider"

BROUGHT_BY: Mapping[str, tuple[str, ...]] = {
    "CPUExecutionProvider": ("onnxruntime",),
    "CUDAExecutionProvider": ("onnxruntime-gpu",),
    "TensorrtExecutionProvider": ("onnxruntime-gpu",),
    "DmlExecutionProvider": ("onnxruntime-directml",),
    "OpenVINOExecutionProvider": ("onnxruntime-openvino",),
    "QNNExecutionProvider": ("onnxruntime-qnn",),
    "MIGraphXExecutionProvider": ("onnxruntime-migraphx", "onnxruntime-rocm"),
    "ROCMExecutionProvider": ("onnxruntime-rocm",),
    "VitisAIExecutionProvider": ("onnxruntime-vitisai",),
    "CANNExecutionProvider": ("onnxruntime-cann",),
    "CoreMLExecutionProvider": ("onnxruntime",),
    "AzureExecutionProvider": ("onnxruntime",),
}
"""Provider -> the distributions that bring it, the usual one first; the CPU's is in every one."""

FLAVOURS = tuple(dict.fromkeys(name for names in BROUGHT_BY.values() for name in names))
"""The distributions that install the module ``onnxruntime``: one at a time, for they overwrite each other's files."""

_ON_MAC_ONLY = "CoreMLExecutionProvider"
_OTHER_NAMES = {"directml": "dml", "trt": "tensorrt"}
_LIBRARY = re.compile(r"onnxruntime_providers_(\w+)\.(?:so|dll|dylib)$")
_PACKAGE_NAME = re.compile(r"^package_name\s*=\s*['\"]([^'\"]+)['\"]", re.MULTILINE)


def full_name(provider: str) -> str:
    """ONNX Runtime's own name of a provider that may be written short, in any case: ``cuda``, ``DML``.

    A name that is not known here is given back as it is.
    """
    return _KNOWN.get(_short(provider), provider)


def flavours_installed() -> dict[str, str]:
    """The installed distributions that hold the module ``onnxruntime``, with their versions."""
    return {name: found for name in FLAVOURS if (found := package_version(name))}


def flavour_in_place(folder: Path | None = None) -> str:
    """Whose files lie in the module's folder, where it says so; else the one that is installed; empty: none.

    Args:
        folder: the module's folder; default: where this interpreter would import it from.
    """
    folder = folder or _module_folder()
    if folder is None:
        return ""
    try:
        named = _PACKAGE_NAME.search((folder / "capi" / "build_and_package_info.py").read_text(encoding="utf-8"))
    except OSError:
        named = None
    return named[1] if named else next(iter(flavours_installed()), "onnxruntime")


def available(folder: Path | None = None) -> tuple[str, ...]:
    """The providers that the ONNX Runtime installed here was built with; none where it is not installed.

    Whether a device for them is here is another question.
    """
    folder = folder or _module_folder()
    flavour = flavour_in_place(folder)
    if folder is None or not flavour:
        return ()
    found = [name for name, brought_by in BROUGHT_BY.items() if flavour in brought_by and name != CPU]
    # Beside the files of a flavour that was overwritten its libraries are left, which nothing loads any more.
    if len(flavours_installed()) < 2:
        found += _libraries(folder / "capi")
    found = [name for name in found if name != _ON_MAC_ONLY or sys.platform == "darwin"]
    return tuple(dict.fromkeys([*found, CPU]))


def distributions_for(provider: str) -> tuple[str, ...]:
    """The distributions that bring a provider, the usual one first; none where it is not known here."""
    return BROUGHT_BY.get(full_name(provider), ())


def _short(provider: str) -> str:
    short = provider.lower().removesuffix(_SUFFIX)
    return _OTHER_NAMES.get(short, short)


_KNOWN = {_short(name): name for name in BROUGHT_BY}


def _module_folder() -> Path | None:
    """The folder of the module ``onnxruntime``, found without importing it."""
    spec = find_spec("onnxruntime")
    return Path(spec.origin).parent if spec and spec.origin else None


def _libraries(capi: Path) -> Iterable[str]:
    """Providers whose libraries lie there: builds of one's own have some that their distribution's name hides."""
    for file in sorted(capi.glob("*onnxruntime_providers_*")):
        match = _LIBRARY.search(file.name)
        if match and match[1] in _KNOWN:
            yield _KNOWN[match[1]]
