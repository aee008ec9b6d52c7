"""``olive shared-cache``, as a user calls it."""

import json
import shutil

import pytest


@pytest.fixture
def filled(folder, olive):
    """A workflow whose results are in the cache, and nowhere else yet."""
    assert olive("run", "workflow.yaml").returncode == 0
    text = (folder / "workflow.yaml").read_text()
    (folder / "workflow.yaml").write_text(text + "shared_cache: team\n")
    return folder


def blobs(folder):
    return sorted(path for path in (folder / "team/olive-cache-1/blobs").rglob("*") if path.is_file())


def test_push_puts_there_what_the_cache_has(filled, olive):
    done = olive("shared-cache", "push", "workflow.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{(filled / 'team').as_uri()}: 3 results put there, with ")
    assert len(blobs(filled)) == int(done.stdout.split(" with ")[1].split(" ")[0])
    again = olive("shared-cache", "push", "workflow.yaml")
    assert again.stdout == (
        f"{(filled / 'team').as_uri()}: 0 results put there, with 0 files of 0 B\n"
        "  3 results left alone: there already, or not in this cache any more\n"
    )
    shutil.rmtree(filled / ".olive-cache")
    ran = olive("run", "workflow.yaml", "--json")
    (ended,) = [event for line in ran.stdout.splitlines() if (event := json.loads(line))["event"] == "run_finished"]
    assert (ended["executed"], ended["reused"]) == (0, 3)


def test_push_says_what_is_not_computed_yet(folder, olive):
    (folder / "workflow.yaml").write_text((folder / "workflow.yaml").read_text() + "shared_cache: team\n")
    done = olive("shared-cache", "push", "workflow.yaml", "--json")
    told = json.loads(done.stdout)
    url = (folder / "team").as_uri()
    assert told == {"url": url, "records": 0, "files": 0, "file_bytes": 0, "private": [], "not_computed": 3}


def test_status_and_verify(filled, olive):
    url = (filled / "team").as_uri()
    (filled / "team").mkdir()
    assert olive("shared-cache", "status", "workflow.yaml").stdout == f"{url}: 0 results, 0 files of 0 B\n"
    olive("shared-cache", "push", "workflow.yaml")
    status = json.loads(olive("shared-cache", "status", "--url", "team", "--json").stdout)
    size = sum(path.stat().st_size for path in blobs(filled))
    assert status == {"url": url, "records": 3, "files": len(blobs(filled)), "file_bytes": size}
    intact = olive("shared-cache", "verify", "workflow.yaml")
    assert (intact.returncode, intact.stdout) == (0, f"{url}: 3 results and {len(blobs(filled))} files are intact\n")
    blobs(filled)[0].chmod(0o644)
    blobs(filled)[0].write_bytes(b"other")
    damaged = olive("shared-cache", "verify", "workflow.yaml")
    assert damaged.returncode == 1
    assert damaged.stdout.splitlines()[:2] == [f"{url}: 1 damaged", f"  {blobs(filled)[0].name}"]
    counted, key, command = damaged.stdout.splitlines()[2:5]
    assert counted == "1 result cannot be used:"
    assert command == f"`olive shared-cache remove workflow.yaml {key.strip()[:16]}` removes what is of no use"
    olive(*command.split("`")[1].split()[1:], "--yes")
    assert olive("shared-cache", "verify", "workflow.yaml").returncode == 0


@pytest.mark.parametrize("command", [("status",), ("verify",), ("remove", "--all", "--yes")])
def test_a_folder_that_is_not_there_is_no_empty_cache(folder, olive, command):
    done = olive("shared-cache", *command, "--url", "nowhere", "--json")
    assert (done.returncode, done.stderr) == (
        1,
        f"error: the shared cache {(folder / 'nowhere').as_uri()}: there is no folder {folder / 'nowhere'}\n",
    )
    assert json.loads(done.stdout)["type"] == "SystemUnavailable"


def test_push_makes_no_folder_in_one_that_is_not_there(filled, olive):
    done = olive("shared-cache", "push", "workflow.yaml", "--url", "not/mounted")
    assert done.returncode == 1
    assert done.stderr.endswith(f"there is no folder {filled / 'not/mounted'}; create it first\n")
    assert not (filled / "not").exists()


def test_the_plan_says_what_is_there_and_why_too(filled, olive):
    plan = olive("plan", "workflow.yaml", "--json")
    (warning,) = json.loads(plan.stdout)["warnings"]
    assert f"there is no folder {filled / 'team'}" in warning["what"]
    assert "workflow.yaml:" in plan.stderr
    olive("shared-cache", "push", "workflow.yaml")
    shutil.rmtree(filled / ".olive-cache")
    url = (filled / "team").as_uri()
    plan = json.loads(olive("plan", "workflow.yaml", "--json").stdout)
    assert [step["source"] for step in plan["steps"]] == [url] * 3
    assert plan["warnings"] == []
    assert olive("plan", "workflow.yaml").stdout.replace("\n", "").count("in the shared cache") == 3
    step = plan["steps"][0]["step"]
    assert olive("why", "workflow.yaml", step).stdout == (
        f"{step} would be reused: its result is in the shared cache {url}\n"
    )


def test_at_the_end_of_input_nothing_is_removed_and_yes_is_asked_for(filled, olive):
    import os
    import pty
    import subprocess
    import sys

    olive("shared-cache", "push", "workflow.yaml")
    ours, theirs = pty.openpty()
    os.write(ours, b"\x04")
    command = [sys.executable, "-m", "olive_engine", "shared-cache", "remove", "workflow.yaml", "--all"]
    done = subprocess.run(command, cwd=filled, stdin=theirs, capture_output=True, text=True, timeout=60, check=False)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "nobody answered; say --yes" in done.stderr
    assert len(blobs(filled)) > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("shared-cache", "status", "workflow.yaml"),
        ("shared-cache", "remove", "workflow.yaml"),
        ("shared-cache", "status", "--bogus"),
        ("environments", "remove", "zzz"),
        ("systems", "Foo"),
        ("cache", "list", "--cache-dir", "none"),
    ],
)
def test_wrong_calls_are_told_in_json_too(folder, olive, arguments):
    done = olive(*arguments, "--json")
    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert told["event"] == "error"
    assert told["message"] in done.stderr


def test_remove_by_key_age_and_all(filled, olive):
    olive("shared-cache", "push", "workflow.yaml")
    keys = sorted(path.stem for path in (filled / "team/olive-cache-1/records").rglob("*.json"))
    asked = olive("shared-cache", "remove", "workflow.yaml", keys[0][:16])
    assert asked.returncode == 2
    assert "this would remove 1 result from" in asked.stderr
    assert "--yes" in asked.stderr
    assert olive("shared-cache", "remove", "workflow.yaml", "--older-than", "30d", "--yes").stdout.endswith(
        ": 0 results, 0 files of 0 B removed\n"
    )
    one = olive("shared-cache", "remove", "--url", "team", keys[0][:16], "--yes")
    assert (one.returncode, ": 1 result, " in one.stdout) == (0, True)
    left = sorted(path.stem for path in (filled / "team/olive-cache-1/records").rglob("*.json"))
    assert left == keys[1:]
    gone = json.loads(olive("shared-cache", "remove", "workflow.yaml", "--all", "--yes", "--json").stdout)
    assert gone["records"] == 2
    assert blobs(filled) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("status",), "which shared cache?"),
        (("status", "workflow.yaml"), "the workflow has no `shared_cache`"),
        (("status", "workflow.yaml", "--url", "x"), "not both"),
        (("status", "--url", "abfs:/x"), "--url: after `abfs:` come two slashes"),
        (("remove", "workflow.yaml"), "say what to remove"),
        (("remove", "workflow.yaml", "--all", "--older-than", "3d"), "say what to remove"),
        (("remove", "--url", "x", "--older-than", "soon"), "expected an age such as 30d"),
        (("push",), "Missing argument 'WORKFLOW'"),
    ],
)
def test_what_is_asked_wrongly(folder, olive, arguments, message):
    done = olive("shared-cache", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_place_that_nobody_opens_is_told_in_a_sentence(folder, olive):
    done = olive("shared-cache", "status", "--url", "nowhere://x")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the shared cache nowhere://x: ")
    assert done.stderr.count("\n") == 1
