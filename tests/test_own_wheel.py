"""The running engine as a wheel: what hatchling packs, the same bytes each time, and it installs offline."""

import base64
import csv
import hashlib
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from olive_engine import __version__
from olive_engine.own_wheel import build_wheel, wheel_digest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("own"))


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_files_give_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    again = build_wheel(tmp_path / "new")
    assert again.name == wheel.name == f"olive_engine-{__version__}-py3-none-any.whl"
    assert again.read_bytes() == wheel.read_bytes()
    assert wheel_digest() == wheel_digest()


def test_it_holds_what_hatchling_packs(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (reference,) = tmp_path.glob("*.whl")
    ours, theirs = contents(wheel), contents(reference)
    info = f"olive_engine-{__version__}.dist-info"
    assert ours.keys() == theirs.keys()
    differing = {name for name, data in ours.items() if data != theirs[name]}
    assert differing <= {f"{info}/WHEEL", f"{info}/RECORD", f"{info}/METADATA"}
    # That of the last installation: a checkout's pyproject.toml may have changed since.
    assert ours[f"{info}/METADATA"].decode() == distribution("olive-engine").read_text("METADATA")
    assert ours[f"{info}/entry_points.txt"] == theirs[f"{info}/entry_points.txt"]


def test_pip_installs_it_offline_and_it_works_there(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "there", with_pip=False, symlinks=True)
    python = tmp_path / "there" / "bin" / "python"
    pip = [sys.executable, "-Im", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    (site,) = (tmp_path / "there").glob("lib/python3*/site-packages")
    # What it depends on comes from the environment that runs this test; the engine itself must not.
    here = next(path for path in map(Path, sys.path) if (path / "pydantic").is_dir())
    (site / "dependencies.pth").write_text(f"{here}\n")
    ask = "import olive_engine.own_wheel as own, olive_passes; print(own.__file__, olive_passes.__file__)"
    told = subprocess.run([python, "-I", "-c", ask], check=True, capture_output=True, text=True).stdout.split()
    assert told == [f"{site}/olive_engine/own_wheel.py", f"{site}/olive_passes/__init__.py"]
    command = tmp_path / "there" / "bin" / "olive"
    assert (
        subprocess.run([command, "--version"], check=True, capture_output=True, text=True).stdout.split()[-1]
        == __version__
    )


def test_an_installed_wheel_packs_itself_the_same(wheel: Path, tmp_path: Path) -> None:
    """From an installation as from a checkout."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    here = next(path for path in map(Path, sys.path) if (path / "pydantic").is_dir())
    ask = (
        f"import sys; sys.path[:0] = [{str(tmp_path / 'site')!r}, {str(here)!r}]\n"
        "from pathlib import Path; from olive_engine.own_wheel import build_wheel\n"
        f"print(build_wheel(Path({str(tmp_path / 'again')!r})))"
    )
    told = subprocess.run([sys.executable, "-I", "-S", "-c", ask], check=True, capture_output=True, text=True).stdout
    assert Path(told.strip()).read_bytes() == wheel.read_bytes()


def test_an_engine_that_was_never_installed_says_what_to_do(tmp_path: Path) -> None:
    here = next(path for path in map(Path, sys.path) if (path / "pydantic").is_dir())
    (tmp_path / "dependencies").mkdir()
    for path in here.iterdir():
        if not path.name.startswith("olive_engine-"):
            (tmp_path / "dependencies" / path.name).symlink_to(path)
    ask = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(tmp_path / 'dependencies')!r}]\n"
        "from olive_engine.own_wheel import wheel_digest; wheel_digest()"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", ask], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        f"olive_engine.errors.SystemUnavailable: olive-engine runs from {ROOT} without being installed, so it cannot "
        f"be packed for another environment; install it here first: python -m pip install -e {ROOT}"
    )


def test_its_record_is_true(wheel: Path) -> None:
    packed = contents(wheel)
    (record,) = (name for name in packed if name.endswith(".dist-info/RECORD"))
    rows = {name: (hashed, size) for name, hashed, size in csv.reader(packed[record].decode().splitlines())}
    assert rows.pop(record) == ("", "")
    for name, data in packed.items():
        if name != record:
            hashed = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert rows.pop(name) == (f"sha256={hashed}", str(len(data)))
    assert not rows
