"""``olive environments``: what is listed, what is removed, and the engine as a wheel."""

import json
import os
import time
import venv
from pathlib import Path

import pytest

from olive_engine import __version__
from olive_engine.environments import RESOLVED, Environments, Made
from tests.functional.conftest import Olive

DAY = 86_400.0


@pytest.fixture
def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    """Two environments, one of them not used for ten days, and what a crash has left."""
    monkeypatch.setenv("OLIVE_ENGINE_HOME", str(folder / "home"))
    kept = Environments()
    for letter, requirements, age in (("a", ("torch",), 10.0), ("b", (), 0.0)):
        made = Made(
            key=letter * 64,
            request=f"request-{letter}",
            python="3.12.1",
            requirements=requirements,
            packages=("click==8.1",),
            installer="uv",
            made=1.0,
        )
        venv.create(kept.folder(made.key), with_pip=False, symlinks=True)
        kept.finish(made)
        kept.note(RESOLVED, made.request, "[]")
        used = time.time() - age * DAY
        os.utime(kept.folder(made.key) / "environment.json", (used, used))
    (kept.folder("c" * 64) / "half").mkdir(parents=True)
    return kept


def test_they_are_listed_the_last_used_first(olive: Olive, kept: Environments) -> None:
    lines = olive("environments", "list").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["b" * 12, "3.12.1"], ["a" * 12, "3.12.1"]]
    assert lines[1].endswith("olive-engine alone")
    assert lines[2].endswith("torch")
    assert lines[-1] == "1 folder of environments that were never finished; any `remove` frees them"
    told = json.loads(olive("environments", "list", "--json").stdout)
    assert [each["key"][0] for each in told["environments"]] == ["b", "a"]
    assert told["environments"][0]["size"] > 100
    assert told["unfinished"] == [str(kept.folder("c" * 64))]


def test_one_is_removed_by_the_beginning_of_its_id(olive: Olive, kept: Environments) -> None:
    done = olive("environments", "remove", "aaa")
    assert (done.returncode, done.stdout[:22]) == (0, "1 environment removed,")
    assert [made.key[0] for made in kept.all()] == ["b"]
    assert (kept.noted(RESOLVED, "request-a"), kept.noted(RESOLVED, "request-b")) == ("[]", "[]")
    assert kept.unfinished() == ()


def test_what_was_removed_before_is_forgotten_with_all(olive: Olive, kept: Environments) -> None:
    assert olive("environments", "remove", "--all").returncode == 0
    assert kept.noted(RESOLVED, "request-a") == "[]"
    assert olive("environments", "remove", "--all", "--forget").returncode == 0
    assert (kept.noted(RESOLVED, "request-a"), kept.noted(RESOLVED, "request-b")) == (None, None)


def test_those_not_used_for_a_while_are_removed(olive: Olive, kept: Environments) -> None:
    assert json.loads(olive("environments", "remove", "--older-than", "11", "--json").stdout)["removed"] == 0
    assert json.loads(olive("environments", "remove", "--older-than", "200h", "--json").stdout)["removed"] == 1
    assert [made.key[0] for made in kept.all()] == ["b"]


def test_all_are_removed_but_one_that_is_used(olive: Olive, kept: Environments) -> None:
    hold = kept.hold("b" * 64)
    done = olive("environments", "remove", "--all")
    assert (done.returncode, done.stderr.splitlines()) == (
        1,
        [f"{'b' * 20} is used by a run; wait for its end, or stop it with Ctrl-C"],
    )
    assert [made.key[0] for made in kept.all()] == ["b"]
    hold.release()
    assert olive("environments", "remove", "--all").returncode == 0
    assert kept.all() == ()
    assert olive("environments", "list").stdout.splitlines()[-1].strip() == "there are none"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "say which: IDs as `olive environments list` shows them, --all, or --older-than AGE"),
        (("a", "--all"), "say which: IDs"),
        (("d",), "no environment has an id that begins with d; `olive environments list` shows them"),
        (("--older-than", "soon"), "expected a number of days or hours such as 30d or 12h, found `soon`"),
        (("--older-than", "nan"), "expected a number of days or hours such as 30d or 12h, found `nan`"),
    ],
)
def test_what_names_none_is_an_error_of_the_command_line(
    arguments: tuple[str, ...], what: str, olive: Olive, kept: Environments
) -> None:
    done = olive("environments", "remove", *arguments)
    assert done.returncode == 2
    assert what in done.stderr
    assert len(kept.all()) == 2


def test_the_engine_is_packed(olive: Olive, folder: Path) -> None:
    done = olive("environments", "wheel", "--into", "wheels")
    assert done.stdout == f"wheels/olive_engine-{__version__}-py3-none-any.whl\n"
    assert (folder / done.stdout.strip()).stat().st_size > 100_000
