"""Where a job's command runs: a Python that has the third-party packages of the tests, and not what is tested.

Each job gets a virtual environment of its own. A ``.pth`` file in it leads to a folder of links to every distribution
in the site-packages of the tests, without those that are tested. So ``import torch`` works, ``import olive_engine``
does not until the job installs or unpacks the wheel that came with its snapshot; and nothing that pip does in a job
touches the tests' environment, since pip lets alone what lies outside of its own.
"""

from __future__ import annotations

import os
import sysconfig
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name

TESTED = ("olive-engine",)
KEPT = ("OMP_NUM_THREADS", "HF_HUB_OFFLINE", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


class Sandbox:
    """Makes environments for jobs.

    Args:
        folder: Where the links lie; one per session is enough.
    """

    def __init__(self, folder: Path) -> None:
        self.site = folder / "third_party"
        self.site.mkdir(parents=True)
        places = {Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")}
        left_out = {part for place in places for part in _of_tested(place)}
        for place in places:
            for entry in place.iterdir():
                if entry.name not in left_out and entry.suffix != ".pth" and entry.name != "__pycache__":
                    (self.site / entry.name).symlink_to(entry)

    def make(self, folder: Path) -> Path:
        """Make a virtual environment in a folder; its ``bin``."""
        venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
        own = next((folder / "lib").glob("python3*/site-packages"))
        (own / "third_party.pth").write_text(f"{self.site}\n")
        pip = folder / "bin" / "pip"
        pip.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m pip "$@"\n')
        pip.chmod(0o755)
        return folder / "bin"

    def variables(self, binaries: Path, home: Path) -> dict[str, str]:
        """What a job's process has of the environment: little of this one, and no index of packages."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        pip = {
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PIP_CONFIG_FILE": os.devnull,
        }
        search = os.pathsep.join([str(binaries), "/usr/local/bin", "/usr/bin", "/bin"])
        return {**kept, **pip, "PATH": search, "HOME": str(home), "TMPDIR": str(home), "PYTHONUNBUFFERED": "1"}


def _of_tested(place: Path) -> set[str]:
    """The first parts of the paths of what is tested, however it was installed."""
    return {
        file.parts[0]
        for found in distributions(path=[str(place)])
        if _is_tested(found)
        for file in found.files or ()
        if file.parts[0] != ".."
    }


def _is_tested(found: Distribution) -> bool:
    return canonicalize_name(found.metadata["Name"]) in TESTED
