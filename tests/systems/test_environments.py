"""Environments that the engine makes: made once, whole or not at all, remembered, removed."""

import base64
import os
import shutil
import subprocess
import sys
import threading
import time
import venv
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest

from olive_engine import __version__, machine
from olive_engine.digests import digest, file_digest
from olive_engine.environments import Environments, interpreter_of
from olive_engine.errors import SystemUnavailable
from olive_systems.python_environment import PythonEnvironment, PythonEnvironmentConfig
from olive_systems.python_environment import environments as making
from olive_systems.python_environment.environments import Recipe, known_key, own_base, provide
from olive_systems.python_environment.index_settings import pip_settings, tool_variables
from olive_systems.python_environment.installers import Pip, Uv, _pins, _run
from olive_systems.python_environment.interpreters import described, installed
from olive_systems.python_environment.logins import with_logins
from olive_systems.python_environment.requirement_lines import Asked, asked_for, fault_of, faults

SAME = (f"pydantic=={version('pydantic')}",)


def recipe_of(*requirements: str) -> Recipe:
    return Recipe(asked_for(requirements, None), own_base())


def nothing(message: str) -> None:
    pass


class FakeInstaller:
    """Makes environments without packages, and counts; what goes wrong is put into `faults`."""

    name = "fake"

    def __init__(self) -> None:
        self.resolved: list[str] = []
        self.created: list[Path] = []
        self.installed: list[str] = []
        self.faults: list[BaseException] = []

    def resolve(self, requirements: Path, constraints: Path) -> tuple[str, ...]:
        self.resolved.append(requirements.read_text())
        return ("click==8.1", "rich==13.0")

    def create(self, folder: Path) -> None:
        assert not folder.exists()
        self.created.append(folder)
        venv.create(folder, with_pip=False, symlinks=True)

    def install(self, folder: Path, packages: Path) -> None:
        self.installed.append(packages.read_text())
        (folder / "half").write_text("done")
        if self.faults:
            raise self.faults.pop()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeInstaller:
    installer = FakeInstaller()
    monkeypatch.setattr(making, "installer_for", lambda python, kept: installer)
    return installer


@pytest.fixture
def kept(fresh_home: Path) -> Environments:
    return Environments()


# --- made once ----------------------------------------------------------------------------------------------------


def test_what_is_installed_is_what_the_requirements_came_to_and_the_engine(fake, kept):
    recipe = recipe_of("rich", "--extra-index-url https://example.org/simple")
    assert known_key(recipe, kept) == ""
    said: list[str] = []
    key, hold = provide(recipe, kept, said.append)
    assert known_key(recipe, kept) == key
    options, wanted, own = fake.resolved[0].splitlines()
    assert (options, wanted) == ("--extra-index-url https://example.org/simple", "rich")
    assert own.startswith("olive-engine @ file://")
    assert own.endswith(".whl")
    assert fake.installed[0].splitlines()[:3] == [options, "click==8.1", "rich==13.0"]
    assert fake.installed[0].splitlines()[3].startswith("olive-engine @ file://")
    assert [each.split(" in ")[0] for each in said] == [
        "finding the packages that its requirements come to, with fake",
        "making an environment of 2 packages with fake",
        "made its environment",
    ]
    (made,) = kept.all()
    assert (made.key, made.requirements, made.packages) == (key, ("rich",), ("click==8.1", "rich==13.0"))
    hold.release()


def test_extras_of_the_engine_are_those_of_the_one_that_runs_here(fake, kept):
    recipe = recipe_of("Olive_Engine[search]", "rich", f"olive-engine[hub]=={__version__}")
    provide(recipe, kept, nothing)[1].release()
    wanted, own = fake.resolved[0].splitlines()
    assert wanted == "rich"
    assert own.startswith("olive-engine[hub,search] @ file://")
    assert fake.installed[0].splitlines()[-1].startswith("olive-engine @ file://")
    assert kept.all()[0].requirements == ("olive-engine[hub,search]", "rich")
    assert recipe.request not in (recipe_of("rich").request, recipe_of("rich", "olive-engine[hub]").request)


def test_code_that_is_edited_meanwhile_is_not_taken_for_what_the_key_says(fake, kept, monkeypatch):
    recipe = recipe_of("rich")
    assert recipe.engine
    monkeypatch.setattr(making, "wheel_digest", lambda: "edited")
    with pytest.raises(SystemUnavailable, match="was edited while it was packed"):
        provide(recipe, kept, nothing)
    assert kept.all() == ()


def test_the_second_time_nothing_is_asked_and_nothing_made(fake, kept, monkeypatch):
    first, hold = provide(recipe_of("rich"), kept, nothing)
    hold.release()
    fake.faults.append(AssertionError("made again"))
    said: list[str] = []
    again, hold = provide(recipe_of("rich"), kept, said.append)
    hold.release()
    assert again == first
    assert (len(fake.resolved), len(fake.created), said) == (1, 1, [])
    other, hold = provide(recipe_of("rich", "# a comment", ""), kept, nothing)  # the same in other words
    hold.release()
    assert other == first


def test_other_code_of_the_engine_is_another_environment_of_the_same_packages(fake, kept, monkeypatch):
    first, hold = provide(recipe_of("rich"), kept, nothing)
    hold.release()
    monkeypatch.setattr(making, "wheel_digest", lambda: "edited")
    assert known_key(recipe_of("rich"), kept) not in ("", first)
    _, hold = provide(recipe_of("rich"), kept, nothing)
    hold.release()
    assert (len(fake.resolved), len(fake.created)) == (1, 2)


@pytest.mark.parametrize("fault", [SystemUnavailable("no index"), KeyboardInterrupt()], ids=["failed", "interrupted"])
def test_what_was_not_finished_is_made_from_the_beginning(fake, kept, fault):
    fake.faults.append(fault)
    with pytest.raises(type(fault)):
        provide(recipe_of("rich"), kept, nothing)
    key = known_key(recipe_of("rich"), kept)
    assert kept.find(key) is None
    assert kept.unfinished() == (kept.folder(key),)
    again, hold = provide(recipe_of("rich"), kept, nothing)
    assert again == key
    assert kept.find(key) is not None
    assert (fake.created, kept.unfinished()) == ([kept.folder(key)] * 2, ())
    hold.release()


def test_an_environment_whose_python_has_gone_is_made_again(fake, kept):
    key, hold = provide(recipe_of("rich"), kept, nothing)
    hold.release()
    interpreter_of(kept.folder(key)).unlink()
    assert (kept.find(key), kept.all()) == (None, ())
    _, hold = provide(recipe_of("rich"), kept, nothing)
    hold.release()
    assert kept.find(key) is not None


def test_two_at_once_make_it_once(fake, kept):
    provide(recipe_of("rich"), kept, nothing)[1].release()
    kept.remove(kept.all()[0])
    started = threading.Event()
    create = fake.create

    def slowly(folder: Path) -> None:
        started.set()
        time.sleep(0.5)
        create(folder)

    fake.create = slowly
    keys: list[str] = []
    said: list[str] = []

    def one(say) -> None:
        key, hold = provide(recipe_of("rich"), Environments(), say)
        keys.append(key)
        hold.release()

    first = threading.Thread(target=one, args=(nothing,))
    first.start()
    assert started.wait(10)
    one(said.append)
    first.join()
    assert len(set(keys)) == 1
    assert len(keys) == len(fake.created) == 2  # one before, one by the two
    assert said[-1] == "waiting for another run, which makes the same environment"


def test_a_maker_that_is_killed_keeps_nobody_waiting(kept, fake):
    code = (
        "import sys, time; from olive_engine.environments import Environments\n"
        "kept = Environments()\n"
        "with kept.working_on(kept.folder('k' * 64), lambda: None):\n"
        "    kept.folder('k' * 64).mkdir(parents=True); print('making', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "making\n"
    assert kept.unfinished() == ()  # someone works on it
    process.kill()
    process.wait()
    process.stdout.close()
    assert [folder.name for folder in kept.unfinished()] == ["k" * 20]
    kept.remove_unfinished()
    assert kept.unfinished() == ()


# --- removed ------------------------------------------------------------------------------------------------------


def test_one_that_is_used_is_not_removed(fake, kept):
    key, hold = provide(recipe_of("rich"), kept, nothing)
    _, other = provide(recipe_of("rich"), kept, nothing)
    (made,) = kept.all()
    hold.release()
    with pytest.raises(SystemUnavailable, match=f"{key[:20]} is used by a run"):
        kept.remove(made)
    other.release()
    kept.remove(made)
    assert kept.all() == ()
    assert not kept.folder(key).exists()
    assert known_key(recipe_of("rich"), kept) == key  # the next is made of the same packages
    assert provide(recipe_of("rich"), kept, nothing)[0] == key
    assert len(fake.resolved) == 1


def test_one_that_was_removed_is_the_same_to_a_probe_as_it_was(fake, kept, monkeypatch):
    monkeypatch.setattr(machine, "best_device", lambda torch: "cpu" if torch == "2.8.0+cpu" else "gpu")
    monkeypatch.setattr(fake, "resolve", lambda *_: ("Torch==2.8.0+cpu", "mine @ https://example.org/mine-1.zip"))
    monkeypatch.setattr(
        fake,
        "install",
        lambda folder, _: next(folder.glob("lib/*/site-packages")).joinpath("torch-2.8.0+cpu.dist-info").mkdir(),
    )
    config = PythonEnvironmentConfig(requirements=("torch",))
    system = PythonEnvironment("far", config)
    system.prepare(nothing)
    before = system.environment_id
    system.close()
    (made,) = kept.all()
    kept.remove(made)
    after = PythonEnvironment("far", config)
    assert (after.environment_id, after.resources.device) == (before, "cpu")
    assert kept.all() == ()


def test_what_requirements_came_to_is_forgotten_when_asked_for(fake, kept, monkeypatch):
    for name in ("rich", "six", "click"):
        monkeypatch.setattr(fake, "resolve", lambda *_, name=name: (f"{name}==1",))
        provide(recipe_of(name), kept, nothing)[1].release()
    rich, six = (made for name in ("rich", "six") for made in kept.all() if made.requirements == (name,))
    kept.remove(rich, forget=True)
    assert known_key(recipe_of("rich"), kept) == ""  # the next is made of the newest that fits
    kept.remove(six)
    assert known_key(recipe_of("six"), kept) == six.key
    kept.forget_unmade()
    assert known_key(recipe_of("six"), kept) == ""
    assert known_key(recipe_of("click"), kept) != ""


@pytest.mark.parametrize("is_done", [True, False], ids=["made", "being made"])
def test_what_somebody_makes_meanwhile_is_not_removed(kept, fake, monkeypatch, is_done):
    """Between the look at what is left and its removal, another process makes the environment, and uses it."""
    key = recipe_of("rich").key(("click==8.1", "rich==13.0"))
    kept.folder(key).mkdir(parents=True)
    look = Environments.unfinished
    making_it = Environments().working_on(kept.folder(key), lambda: None)
    holds = []

    def late(self: Environments) -> tuple[Path, ...]:
        found = look(self)
        if is_done:
            holds.append(provide(recipe_of("rich"), Environments(), nothing)[1])
        else:
            making_it.__enter__()
            (kept.folder(key) / "half").touch()
        return found

    monkeypatch.setattr(Environments, "unfinished", late)
    kept.remove_unfinished()
    assert (kept.find(key) is not None) == is_done
    assert (kept.folder(key) / "half").exists()
    if is_done:
        holds[0].release()
    else:
        making_it.__exit__(None, None, None)
        monkeypatch.undo()
        kept.remove_unfinished()
        assert not kept.folder(key).exists()


def test_one_that_is_used_is_no_rest_though_its_python_has_gone(fake, kept):
    key, hold = provide(recipe_of("rich"), kept, nothing)
    interpreter_of(kept.folder(key)).unlink()
    kept.remove_unfinished()
    assert kept.folder(key).exists()
    hold.release()
    kept.remove_unfinished()
    assert not kept.folder(key).exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OLIVE_ENGINE_HOME", str(tmp_path / "file"))
    with pytest.raises(SystemUnavailable, match="cannot be written to"):
        Environments().note("kind", "name", "text")


def test_where_they_are_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("OLIVE_ENGINE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert Environments().root == tmp_path / "caches" / "olive-engine"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Environments().root == tmp_path / ".cache" / "olive-engine"


# --- by pip and by uv ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_pip_makes_what_uv_makes(home, fresh_home, uv, monkeypatch):
    """The same packages, so the same key: who has made it does not matter."""
    with_pip = Environments(home)
    recipe = recipe_of(*SAME)
    key, hold = provide(recipe, with_pip, nothing)
    hold.release()
    monkeypatch.setattr("olive_systems.python_environment.installers.uv_command", lambda: uv)
    with_uv = Environments(fresh_home)
    again, hold = provide(recipe, with_uv, nothing)
    hold.release()
    assert with_uv.find(again).installer == "uv"
    assert with_uv.find(again).packages == with_pip.find(key).packages
    assert again == key
    there = [described(interpreter_of(each.folder(key)), each) for each in (with_pip, with_uv)]
    found = [installed(each) for each in there]
    assert found[0] == found[1]
    assert found[0].keys() >= {"olive-engine", "pydantic", "click"}
    assert "pip" not in found[0]
    olive = with_uv.folder(key) / "bin" / "olive"
    assert "olive" in subprocess.run([olive, "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_what_cannot_be_had_is_told_in_the_words_of_the_tool(home, fresh_home, uv, monkeypatch):
    """And nothing of it is left."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (fresh_home / "nothing").mkdir(parents=True)
    monkeypatch.setenv("PIP_FIND_LINKS", str(fresh_home / "nothing"))
    python = own_base().python
    for tool, name in ((Pip(python, Environments(home)), "pip"), (Uv(uv, python), "uv")):
        monkeypatch.setattr(making, "installer_for", lambda *_, tool=tool: tool)
        with pytest.raises(SystemUnavailable) as refused:
            provide(recipe_of("no-such-package-at-all"), Environments(fresh_home), nothing)
        told = str(refused.value)
        assert told.startswith(f"{name} could not find versions that fit (exit code 1):\n  ")
        assert "no-such-package-at-all" in told or "click" in told
        assert len(told.splitlines()) <= 11
    assert Environments(fresh_home).all() == ()


# --- requirement lines --------------------------------------------------------------------------------------------


def test_files_are_laid_flat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "more").mkdir()
    (tmp_path / "all.txt").write_text(
        "# a comment\n--extra-index-url=https://example.org/simple\nnumpy>=2 # why\n"
        "torch \\\n  ==2.8\n-r more/some.txt\n-cmore/limits.txt\n--find-links wheels\n"
    )
    (tmp_path / "more" / "some.txt").write_text("peft @ https://example.org/a.whl\n--pre\n")
    (tmp_path / "more" / "limits.txt").write_text("scipy<2\n-r some.txt")
    assert asked_for(["rich"], Path("all.txt")) == Asked(
        requirements=("rich", "numpy>=2", "torch    ==2.8", "peft @ https://example.org/a.whl"),
        constraints=("scipy<2", "peft @ https://example.org/a.whl"),
        options=("--extra-index-url https://example.org/simple", "--pre", "--pre", f"--find-links {tmp_path}/wheels"),
        sources=("--extra-index-url https://example.org/simple", "--pre", "--pre", f"--find-links {digest([])}"),
    )


def test_a_file_of_this_machine_counts_by_its_contents(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wheel = tmp_path / "my_tool-1.0-py3-none-any.whl"
    wheel.write_bytes(b"one")
    lines = ("./my_tool-1.0-py3-none-any.whl", str(wheel), wheel.as_uri(), f"my_tool @ {wheel.as_uri()}")
    expected = f"my_tool @ {wheel.as_uri()}#sha256={file_digest(wheel)}"
    assert asked_for(lines, None).requirements == (expected,) * 4
    before = recipe_of(lines[0]).request
    wheel.write_bytes(b"two")
    assert recipe_of(lines[0]).request != before


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("olive-engine==0.0.1", "asks for another olive-engine than"),
        ("olive_engine @ https://example.org/olive_engine-9-py3-none-any.whl", "asks for another olive-engine than"),
        ("-e .", "a folder cannot be a requirement here"),
        (".", "a folder cannot be a requirement here"),
        ("./gone-1.0.tar.gz", "gone-1.0.tar.gz cannot be read: No such file"),
        ("./text", "neither a requirement such as"),
        ("numpy==2.0 --hash=sha256:00", "hashes in requirements are not supported"),
        ("--user", "`--user` cannot be used in the requirements of an environment"),
        ("-r gone.txt", "requirements file .*gone.txt cannot be read: No such file"),
        ("-r loop.txt", "loop.txt includes itself"),
    ],
)
def test_lines_that_cannot_be_kept_are_refused(line, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.txt").write_text("-r loop.txt")
    with pytest.raises(SystemUnavailable, match=what):
        asked_for([line], None)


@pytest.mark.parametrize(
    "line", ["numpy", "numpy >=2,<3 ; python_version > '3'", "a[b]", "--pre", "-r x", "./x-1-py3-none-any.whl"]
)
def test_lines_as_pip_takes_them_are_sound(line):
    assert fault_of(line) == ""


@pytest.mark.parametrize("line", ["-e .", "--target x", "six --hash=sha256:ab", "../a", "olive-engine==0.0.1", "y y"])
def test_lines_that_no_machine_takes_are_known_by_their_text(line):
    assert f"`{line}`" in fault_of(line)


def test_all_that_speaks_against_requirements_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-1.0.zip").mkdir()
    (tmp_path / "b-1.0.zip").write_bytes(b"b")
    (tmp_path / "all.txt").write_text("-e .\nsix\n-r gone.txt\n--user\n-c limits.txt\n./c-1.0.zip\n")
    (tmp_path / "limits.txt").write_text("six==1 --hash=sha256:ab\n")
    assert list(faults(["six", "./b-1.0.zip", "./a-1.0.zip"], None)) == [
        "`./a-1.0.zip`: a folder cannot be a requirement here, for its contents may change; build a wheel of it with "
        "`python -m pip wheel --no-deps FOLDER`, and name that"
    ]
    told = list(faults([], Path("all.txt")))
    assert [each.partition(";")[0].removeprefix(f"{tmp_path}/") for each in told] == [
        "all.txt: `-e .`: a folder cannot be a requirement here, for its contents may change",
        f"the requirements file {tmp_path}/gone.txt cannot be read: No such file or directory",
        "all.txt: `--user` cannot be used in the requirements of an environment that the engine makes",
        "limits.txt: `six==1 --hash=sha256:ab`: hashes in requirements are not supported",
        f"the required file {tmp_path}/c-1.0.zip cannot be read: No such file or directory",
    ]


@pytest.mark.parametrize(
    "line", ["https://example.org/x.whl", "git+https://example.org/x.git@main", "a @ git+ssh://g@h/x"]
)
def test_urls_are_sound_and_stay(line):
    assert fault_of(line) == ""
    assert asked_for([line], None).requirements == (line,)


def test_logins_of_urls_are_not_remembered():
    lines = ["b==1", "olive-engine @ file:///x.whl", "a @ https://me:secret@example.org/a.whl", "olive-engine-more==1"]
    assert _pins(lines) == ("a @ https://example.org/a.whl", "b==1", "olive-engine-more==1")
    token = "c @ git+https://ghp_abcdefghijklmnop@example.org/c@1a2b"
    assert _pins([token]) == ("c @ git+https://example.org/c@1a2b",)
    assert _pins(["d @ git+ssh://git@example.org/d@1a2b"]) == ("d @ git+ssh://git@example.org/d@1a2b",)


def test_logins_are_there_again_for_an_installation():
    asked = (
        "a @ git+https://tok_a@example.org/a@main",
        "git+https://me:tok_b@example.org/b",
        "c @ https://${TOKEN}@example.org/c-1-py3-none-any.whl ; python_version>'3'",
        "d @ https://example.org/d.whl",
    )
    kept = (
        "a @ git+https://example.org/a@1a2b",
        "b @ git+https://example.org/b@3c4d#subdirectory=x",
        "c @ https://example.org/c-1-py3-none-any.whl#sha256=00",
        "d @ https://example.org/d.whl#sha256=11",
        "e==1",
    )
    assert with_logins(kept, asked) == (
        "a @ git+https://tok_a@example.org/a@1a2b",
        "b @ git+https://me:tok_b@example.org/b@3c4d#subdirectory=x",
        "c @ https://${TOKEN}@example.org/c-1-py3-none-any.whl#sha256=00",
        *kept[3:],
    )
    assert with_logins(_pins(kept), asked) == tuple(sorted(with_logins(kept, asked)))


def test_a_token_in_a_url_installs_and_is_kept_nowhere(fake, kept, monkeypatch):
    token = "ghp_abcdefghijklmnop"
    pins = ("click @ https://example.org/click-8.1-py3-none-any.whl",)
    monkeypatch.setattr(fake, "resolve", lambda requirements, constraints: pins)
    recipe = recipe_of(f"click @ https://{token}@example.org/click-8.1-py3-none-any.whl")
    for code in ("a", "b"):  # the second time, what the requirements came to is remembered
        monkeypatch.setattr(making, "wheel_digest", lambda code=code: code * 64)
        provide(Recipe(recipe.asked, recipe.base), kept, nothing)[1].release()
    lines = [line for text in fake.installed for line in text.splitlines() if line.startswith("click")]
    assert lines == [f"click @ https://{token}@example.org/click-8.1-py3-none-any.whl"] * 2
    files = [path for path in kept.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if token.encode() in path.read_bytes()] == []
    assert {made.requirements for made in kept.all()} == {
        ("click @ https://****@example.org/click-8.1-py3-none-any.whl",)
    }


@pytest.mark.slow
def test_pip_and_uv_send_the_token_of_a_url(served, home, fresh_home, uv):
    """A server that asks who is there: what is remembered has no token, and what is installed came with it."""
    python = own_base().python
    for tool in (Pip(python, Environments(home)), Uv(uv, python)):
        files = fresh_home / tool.name
        files.mkdir(parents=True)
        (files / "asked.txt").write_text(f"foo @ {served}\n")
        (files / "none.txt").write_text("")
        pins = tool.resolve(files / "asked.txt", files / "none.txt")
        assert [pin.partition("#")[0] for pin in pins] == [f"foo @ {served.replace(TOKEN + '@', '')}"]
        (files / "packages.txt").write_text("\n".join(with_logins(pins, (f"foo @ {served}",))))
        tool.create(files / "made")
        tool.install(files / "made", files / "packages.txt")
        _run("python", "import it", [interpreter_of(files / "made"), "-c", "import foo; assert foo.V == 'a'"])


TOKEN = "tok_5d1c9ab07e2f"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a wheel, with the token that its server asks for."""
    wheel = wheel_of(tmp_path / "served", "V = 'a'")
    expected = "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == expected:
                return super().do_GET()
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic realm=x")
            self.send_header("Content-Length", "0")
            return self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=wheel.parent)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{TOKEN}@127.0.0.1:{server.server_port}/{wheel.name}"
        server.shutdown()
        thread.join()


# --- where packages come from -------------------------------------------------------------------------------------


def wheel_of(folder: Path, code: str) -> Path:
    folder.mkdir()
    path = folder / "foo-1.0-py3-none-any.whl"
    about = "foo-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("foo.py", code)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: foo\nVersion: 1.0\n")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


def test_where_packages_come_from_is_part_of_an_environment(tmp_path):
    def keys(*lines: str) -> tuple[str, str]:
        recipe = recipe_of(*lines, "foo==1.0")
        return recipe.request, recipe.key(["foo==1.0"])

    wheel = wheel_of(tmp_path / "a", "V = 'a'")
    wheel_of(tmp_path / "b", "V = 'b'")
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    a, b, c = (keys(f"--find-links {tmp_path / name}") for name in "abc")
    assert a[1] != b[1]
    assert a[1] == c[1]  # the same files
    assert keys(f"--find-links {(tmp_path / 'a').as_uri()}")[1] == a[1]
    (tmp_path / "a" / "read.me").write_text("installs nothing")
    assert keys(f"--find-links {tmp_path / 'a'}") == a
    wheel.unlink()
    shutil.rmtree(tmp_path / "a")
    wheel_of(tmp_path / "a", "V = 'other'")
    assert all(now != before for now, before in zip(keys(f"--find-links {tmp_path / 'a'}"), a, strict=True))
    indexes = [keys(f"-i https://{index}")[1] for index in ("x.org/simple", "y.org/simple", "tok@x.org/simple")]
    assert len({*indexes, a[1], keys()[1]}) == 4
    assert indexes[0] == indexes[2]  # another token is the same index
    assert keys("--find-links nothing-of-that-name")[1] not in (a[1], keys()[1])


# --- isolation ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pip_file(tmp_path, monkeypatch) -> Path:
    """A configuration of pip's that says more than where packages come from."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    path = tmp_path / "own.conf"
    path.write_text(
        "[global]\nindex-url = https://example.org/simple\ntarget = /elsewhere\nuser = true\n"
        "[install]\nextra_index_url =\n    https://one.example/simple\n    https://two.example/simple\nno-deps = true\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(path))
    return path


def test_of_pips_settings_those_count_that_say_where_packages_come_from(pip_file, monkeypatch):
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    monkeypatch.setenv("PIP_CERT", "/certificate")
    monkeypatch.setenv("PYTHONPATH", "/poison")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "/elsewhere")
    found = pip_settings()
    assert found | {"index-url": "https://example.org/simple", "cert": "/certificate"} == found
    assert found["extra-index-url"] == "https://one.example/simple https://two.example/simple"
    assert not found.keys() & {"target", "user", "no-deps"}
    variables = tool_variables()
    assert variables["PIP_INDEX_URL"] == variables["UV_DEFAULT_INDEX"] == "https://example.org/simple"
    assert variables["UV_INDEX"] == found["extra-index-url"]
    assert not variables.keys() & {"PIP_TARGET", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV"}
    assert variables["PATH"] == os.environ["PATH"]


def test_uv_that_knows_its_own_indexes_is_told_of_no_others(pip_file, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    variables = tool_variables()
    assert variables["UV_DEFAULT_INDEX"] == "https://uv.example/simple"
    assert not variables.keys() & {"UV_INDEX", "UV_FIND_LINKS"}
    assert variables["PIP_INDEX_URL"] == "https://example.org/simple"
