"""The running olive-engine as a wheel: what another environment needs to run the same code, checkout or not.

Made of the files as they lie here, without the network and without a build backend; the same files give the same
bytes. Code and metadata are what this interpreter imports, so a checkout's metadata is that of its last installation.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from olive_engine.digests import digest, file_digest, files_under
from olive_engine.errors import SystemUnavailable
from olive_engine.requirements import DISTRIBUTION

OWN = __name__.partition(".")[0]
BESIDE = {"schemas": f"{OWN}/schemas", "constraints.txt": f"{OWN}/tested_versions.txt"}
"""What lies beside the packages in a checkout -> where it lies in a wheel."""
TAG = "py3-none-any"
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file can name."""
WHEEL = f"""\
Wheel-Version: 1.0
Generator: {DISTRIBUTION}
Root-Is-Purelib: true
Tag: {TAG}
"""


def build_wheel(into: Path) -> Path:
    """Write the wheel of the running engine into a folder, which is made where it is missing.

    Args:
        into: gets ``olive_engine-VERSION-py3-none-any.whl``; one that is there is replaced.

    Raises:
        SystemUnavailable: the engine runs from sources that were never installed, so nothing tells its metadata.
    """
    from zipfile import ZIP_STORED, ZipFile, ZipInfo

    contents = _contents()
    files = {name: source.read_bytes() for name, source in contents.code.items()}
    files |= {f"{contents.info}/{name}": data for name, data in contents.metadata.items()}
    files = dict(sorted(files.items()))
    record = f"{contents.info}/RECORD"
    files[record] = _record(files, record)
    into.mkdir(parents=True, exist_ok=True)
    path = into / f"{contents.info.removesuffix('.dist-info')}-{TAG}.whl"
    with ZipFile(path, "w", ZIP_STORED) as archive:  # stored: how zlib packs depends on its version
        for name, data in files.items():
            entry = ZipInfo(name, EARLIEST)
            entry.create_system = 3  # Unix, wherever it is made: the mode below is Unix's
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return path


def wheel_digest() -> str:
    """The digest of what `build_wheel` would pack, without packing it.

    Raises:
        SystemUnavailable: the engine runs from sources that were never installed.
    """
    contents = _contents()
    code = {name: file_digest(source) for name, source in contents.code.items()}
    metadata = {name: hashlib.sha256(data).hexdigest() for name, data in contents.metadata.items()}
    return digest({"code": dict(sorted(code.items())), "metadata": dict(sorted(metadata.items()))})


def own_requirements() -> tuple[str, ...]:
    """What the running engine asks of other packages, its extras included, in order.

    Raises:
        SystemUnavailable: the engine runs from sources that were never installed.
    """
    return tuple(sorted(_installed().requires or ()))


def is_checkout() -> bool:
    """Whether the running engine lies beside what only a checkout has, rather than being installed from a wheel."""
    return all((_root() / name).exists() for name in BESIDE)


@dataclass(frozen=True, slots=True)
class _Contents:
    """What goes into the wheel."""

    info: str
    """The name of its folder of metadata."""
    code: dict[str, Path]
    """Name in the wheel -> file here."""
    metadata: dict[str, bytes]
    """Name in the folder of metadata -> contents."""


def _installed() -> Distribution:
    try:
        return distribution(DISTRIBUTION)
    except PackageNotFoundError:
        raise SystemUnavailable(
            f"olive-engine runs from {_root()} without being installed, so it cannot be packed for another "
            f"environment; install it here first: python -m pip install -e {_root()}"
        ) from None


def _contents() -> _Contents:
    installed = _installed()
    code: dict[str, Path] = {}
    for package in _packages(installed):
        folder = _folder(package)
        code |= {f"{package}/{name}": folder / name for name in files_under(folder) if _is_code(name)}
    if is_checkout():
        for name, place in BESIDE.items():
            source = _root() / name
            inner = {"": source} if source.is_file() else {f"/{each}": source / each for each in files_under(source)}
            code |= {f"{place}{rest}": path for rest, path in inner.items()}
    name = DISTRIBUTION.replace("-", "_")
    return _Contents(f"{name}-{installed.version}.dist-info", code, dict(_metadata(installed)))


def _is_code(name: str) -> bool:
    """Whether a file of a package is part of it, and nothing that a tool has left there."""
    return not name.endswith(".pyc") and not any(part.startswith(".") for part in name.split("/"))


def _packages(installed: Distribution) -> list[str]:
    """The packages at the top, by what its entry points name."""
    return sorted({OWN, *(entry.module.partition(".")[0] for entry in installed.entry_points)})


def _metadata(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    for name in ("METADATA", "entry_points.txt"):
        yield name, (installed.read_text(name) or "").encode()
    yield "WHEEL", WHEEL.encode()
    for file in installed.files or ():
        folder, _, name = file.as_posix().partition(".dist-info/")
        if "/" not in folder and name.startswith("licenses/"):
            yield name, file.read_binary()


def _record(files: dict[str, bytes], own: str) -> bytes:
    """``RECORD``: each file with its hash and size, and itself without."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    for name, data in files.items():
        hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={hashed}", len(data)))
    rows.writerow((own, "", ""))
    return table.getvalue().encode()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source found for {package}")
    return Path(spec.origin).parent


def _root() -> Path:
    """Where the engine's package lies: a checkout, or a folder of installed packages."""
    return Path(__file__).resolve().parent.parent
