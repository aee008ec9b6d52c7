"""How jobs in containers end: done, killed, stopped, left by their engine; and what cannot even begin."""

import json
import subprocess
import sys
import time

import pytest

from olive_engine import __version__
from olive_engine.contracts import Item, Job, Probe, Progress
from olive_engine.errors import SystemUnavailable
from olive_engine.probing import known_environment, probe
from olive_engine.room import _is_here
from olive_engine.store import Store
from olive_engine.testing.harness import Trial, manifest_of, write_job
from olive_engine.testing.system_conformance import PATIENCE, wait
from olive_engine.testing.toys import build_toy_model
from olive_systems.docker import jobs as container_jobs
from tests.systems.docker.conftest import IMAGE


def job_of(tmp_path, type_="ToyScale", **config):
    return write_job(tmp_path, type_, [Trial(config)], [build_toy_model(tmp_path / "model")])


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def probe_job(tmp_path):
    """A job folder that asks what is in the image."""
    folder = tmp_path / "probe"
    folder.mkdir()
    asked = Probe(packages=("pydantic", "nothing-of-that-name"), steps=(("pass", "ToyScale"),))
    item = Item(key="", step="probe", type="", config=asked.model_dump(mode="json"))
    (folder / "job.json").write_text(Job(id="probe", kind="probe", items=(item,)).model_dump_json())
    return folder, asked


# --- done, killed, stopped ----------------------------------------------------------------------------------------


def test_nothing_is_left_of_a_job_that_is_done(docker, fake, tmp_path):
    assert wait(docker().submit(job_of(tmp_path))).state == "done"
    assert fake.containers() == []


def test_a_job_is_waited_for_and_not_asked_about_again_and_again(docker, fake, tmp_path):
    assert wait(docker().submit(job_of(tmp_path, seconds=0.5))).state == "done"
    assert [argv[0] for argv in fake.calls()] == ["image", "info", "run", "wait", "logs", "rm"]


def test_progress_is_seen_while_the_job_runs(docker, tmp_path):
    trials = [Trial({"steps": 4}), Trial({"steps": 4, "learning_rate": 0.1, "whole": True})]
    handle = docker().submit(write_job(tmp_path, "ToyTrain", trials, [build_toy_model(tmp_path / "model")]))
    update = wait(handle)
    progress = [(line.item, line.event.step) for line in update.events if isinstance(line.event, Progress)]
    assert progress[-1] == (1, 4)
    assert len(set(progress)) == len(progress)
    assert handle.poll().events == ()


def test_a_container_that_is_killed_is_a_lost_job(docker, fake, tmp_path):
    job = job_of(tmp_path, seconds=60.0)
    handle = docker(memory="8g").submit(job)
    until((job / "events.jsonl").exists)
    subprocess.run(["docker", "kill", f"olive-{job.name}"], check=True, stdout=subprocess.DEVNULL)
    assert wait(handle).detail == (
        "its worker was killed (signal 9), as the operating system does when memory runs out; its memory limit is 8g"
    )
    assert fake.containers() == []


def test_a_container_that_runs_out_of_memory_says_so(docker, tmp_path):
    handle = docker(memory="32m").submit(job_of(tmp_path, misbehave="kill"))
    assert wait(handle).detail == "its worker was killed (signal 9), for it needed more than its memory limit of 32m"


def test_a_container_that_somebody_removed_is_a_lost_job(docker, tmp_path):
    job = job_of(tmp_path, seconds=60.0)
    handle = docker().submit(job)
    subprocess.run(["docker", "rm", "--force", f"olive-{job.name}"], check=True, stdout=subprocess.DEVNULL)
    update = wait(handle)
    assert update.state == "lost"
    assert "removed" in update.detail or "signal 9" in update.detail  # whichever is seen first


def test_a_daemon_that_is_restarted_loses_no_job(docker, fake, tmp_path, monkeypatch):
    monkeypatch.setattr(container_jobs, "RETRY", 0.05)
    handle = docker().submit(job_of(tmp_path, seconds=1.0))
    (fake.root / "down").touch()
    handle._waiter.kill()  # its connection is cut
    handle._waiter.wait()
    for _ in range(5):
        assert handle.poll().state == "running"
        time.sleep(0.06)
    (fake.root / "down").unlink()
    assert wait(handle).state == "done"


def test_a_daemon_that_stays_away_loses_its_jobs(docker, fake, tmp_path, monkeypatch):
    monkeypatch.setattr(container_jobs, "RETRY", 0.05)
    monkeypatch.setattr(container_jobs, "OUTAGE", 0.2)
    handle = docker().submit(job_of(tmp_path, seconds=1.0))
    (fake.root / "down").touch()
    handle._waiter.kill()
    update = wait(handle)
    assert update.state == "lost"
    assert "its container cannot be followed: docker says: Cannot connect" in update.detail
    (fake.root / "down").unlink()


def test_a_stopped_job_saves_its_checkpoint_and_is_gone(docker, fake, tmp_path):
    job = job_of(tmp_path, seconds=60.0)
    handle = docker().submit(job)
    until((job / "events.jsonl").exists)
    handle.stop()
    assert fake.containers() == []
    assert "kill" not in [argv[0] for argv in fake.calls()]
    assert handle.poll().state == "done"
    assert [item.status for item in handle.collect(fetch=True).items] == ["stopped"]


def test_a_job_that_does_not_stop_is_killed(docker, fake, tmp_path, monkeypatch):
    monkeypatch.setattr(container_jobs, "STOP_GRACE", 0.2)
    monkeypatch.setattr(container_jobs, "STOP_FILE", "somewhere-else")
    handle = docker().submit(job_of(tmp_path, seconds=60.0))
    handle.stop()
    assert len(fake.calls("kill")) == 1
    assert fake.containers() == []
    assert handle.poll().state == "lost"


# --- a dead engine ------------------------------------------------------------------------------------------------


def test_a_job_that_still_runs_is_attached_to_without_repeating_itself(docker, fake, tmp_path):
    trials = [Trial({"steps": 3}), Trial({"steps": 3, "misbehave_at": 1})]
    job = write_job(tmp_path, "ToyTrain", trials, [build_toy_model(tmp_path / "model")])
    first = docker()
    first.submit(job)
    until(lambda: (job / "events.jsonl").exists() and (job / "events.jsonl").read_text().count("\n") >= 2)
    first.close()  # as when the engine dies: nobody follows, the container runs on
    told = (job / "events.jsonl").read_text().count("\n")
    handle = docker().attach(job)
    update = wait(handle)
    assert update.state == "done"
    assert len(update.events) <= (job / "events.jsonl").read_text().count("\n") - told
    assert [item.status for item in handle.collect(fetch=True).items] == ["done", "done"]
    assert len(fake.calls("run")) == 1
    assert fake.containers() == []


def test_a_job_that_has_ended_meanwhile_is_collected(docker, fake, tmp_path):
    job = job_of(tmp_path)
    first = docker()
    first.submit(job)
    until((job / "result.json").exists)
    first.close()
    handle = docker().attach(job)
    assert wait(handle).state == "done"
    (item,) = handle.collect(fetch=True).items
    assert manifest_of(item).parts["model_path"].files
    assert docker().attach(job) is None


def test_a_job_that_was_never_submitted_is_not_there(docker, tmp_path):
    assert docker().attach(job_of(tmp_path)) is None


def test_a_container_that_never_started_is_removed(docker, fake, tmp_path):
    job = job_of(tmp_path)
    folder = fake.root / "containers" / f"olive-{job.name}"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text('{"Status": "created", "ExitCode": 0, "OOMKilled": false, "Error": ""}')
    assert docker().attach(job) is None
    assert fake.containers() == []


# --- what cannot begin --------------------------------------------------------------------------------------------


def prepared(system):
    said = []
    system.prepare(said.append)
    return said


def test_a_missing_image_is_pulled_and_the_user_told(docker, fake):
    fake.image("registry.example/other:2", id_="sha256:22", pullable=True)
    system = docker(image_name="registry.example/other:2")
    assert system.environment_id == ""
    assert prepared(system) == ["the image registry.example/other:2 is not here: pulling it"]
    assert system.environment_id != ""
    assert prepared(system) == []
    assert len(fake.calls("pull")) == 1


def test_an_image_that_cannot_be_had_is_named(docker):
    with pytest.raises(SystemUnavailable) as raised:
        prepared(docker(image_name="nosuch"))
    assert str(raised.value) == (
        "box: the image nosuch is not here and cannot be pulled (pull access denied for nosuch, repository does not "
        "exist or may require 'docker login': denied: requested access to the resource is denied); check `image_name`, "
        "build it with `docker build -t nosuch …`, or log in with `docker login`"
    )


def test_a_daemon_that_does_not_answer_is_named(docker, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    (fake.root / "down").touch()
    system = docker()
    assert system.environment_id == ""
    expected = (
        "box: docker says: Cannot connect to the Docker daemon at tcp://127.0.0.1:1 (DOCKER_HOST=tcp://127.0.0.1:1); "
        "start it, or set DOCKER_HOST to one that runs"
    )
    for attempt in (prepared, lambda system: system.submit(job_of(tmp_path)), lambda system: system.attach(tmp_path)):
        with pytest.raises(SystemUnavailable) as raised:
            attempt(system)
        assert str(raised.value) == expected


def test_without_docker_there_is_nothing_to_plan_with_and_a_clear_error(docker, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    system = docker()
    assert system.environment_id == ""
    with pytest.raises(SystemUnavailable, match="box: there is no `docker` command on the PATH; install Docker"):
        prepared(system)


def test_gpus_that_the_daemon_cannot_give(docker, fake, tmp_path):
    with pytest.raises(SystemUnavailable) as raised:
        docker(gpus="all").submit(job_of(tmp_path))
    assert str(raised.value) == (
        'box: docker says: could not select device driver "" with capabilities: [[gpu]]; the daemon offers no GPU; '
        "install the NVIDIA Container Toolkit on the daemon's machine, or leave `gpus` out"
    )
    assert fake.containers() == []


def test_a_job_that_runs_already_is_left_alone(docker, fake, tmp_path):
    job = job_of(tmp_path, seconds=60.0)
    handle = docker().submit(job)
    with pytest.raises(SystemUnavailable, match="is already in use"):
        docker().submit(job)
    assert fake.containers() == [f"olive-{job.name}"]
    handle.stop()


def test_an_image_without_python(docker, fake, tmp_path):
    fake.image(IMAGE, python="")
    assert wait(docker().submit(job_of(tmp_path))).detail == (
        "its worker could not be started ([FATAL tini (7)] exec python failed: No such file or directory); name the "
        "image's Python interpreter in `python`"
    )


def test_an_image_without_the_engine(docker, fake, tmp_path):
    fake.image(IMAGE, python=sys._base_executable)
    assert wait(docker().submit(job_of(tmp_path))).detail == (
        f"the image has no olive-engine; add to its Dockerfile: RUN pip install olive-engine=={__version__}"
    )


def test_a_folder_that_the_daemon_does_not_see(docker, tmp_path):
    job = job_of(tmp_path)
    (job / "job.json").unlink()
    assert wait(docker().submit(job)).detail == (
        f"the worker found no job in {job}: the folder is mounted from the Docker daemon's machine, so the daemon must "
        "run on this one"
    )


def test_a_line_that_is_no_event_is_kept_as_log_and_ends_nothing(docker, tmp_path, monkeypatch):
    """Torn by the death of a worker before this one, or written by something else in the job; a secret in it or not."""
    monkeypatch.setenv("SERVICE_TOKEN", "canary-b61d02")
    job = job_of(tmp_path, seconds=0.3)
    handle = docker(environment_variables={"SERVICE": "${env:SERVICE_TOKEN}"}).submit(job)
    until((job / "events.jsonl").exists)
    with (job / "events.jsonl").open("ab") as events:
        events.write(b'\n{"item": 0, "time": 1.0, "ev\nsaid \xff canary-b61d02\n')
    log = []
    while (update := handle.poll()).state == "running":
        log += update.log
        time.sleep(0.01)
    assert update.state == "done"
    assert [line for line in (*log, *update.log) if "item" in line or "said" in line] == [
        '{"item": 0, "time": 1.0, "ev',
        "said \ufffd ****",
    ]
    assert handle.collect(fetch=False).items[0].status == "done"


# --- environments -------------------------------------------------------------------------------------------------


def test_the_environment_is_that_of_the_image(docker, fake):
    plain = docker().environment_id
    assert docker().environment_id == plain
    others = {docker(**options).environment_id for options in ({"memory": "8g"}, {"environment_variables": {"A": "1"}})}
    fake.image(IMAGE, id_="sha256:33")
    assert len({plain, docker().environment_id, *others}) == 4


def test_limits_make_another_machine_for_measurements_of_time(docker, tmp_path):
    _, asked = probe_job(tmp_path)
    store = Store(tmp_path / "cache")

    def place(**options):
        system = docker(**options)
        if known_environment(system, asked, store) is None:
            probe(system, asked, store, print)
        found = known_environment(system, asked, store)
        assert _is_here(found)  # its results lie on this machine's disk, limits or not
        return found.machine

    plain = place()
    limited = [place(cpus=1), place(cpus=2), place(cpus=1, memory="8g"), place(memory="8g")]
    assert len({plain, *limited}) == 5
    assert place(cpus=1) == limited[0]
    assert place(shm_size="1g", workers=1) == plain
    gpus = [docker(gpus=gpus).limits for gpus in ("all", 1, ["0"], ["0", "1"])]
    assert gpus[0] == docker(accelerators=[{"device": "gpu"}]).limits == ""
    assert len(set(gpus)) == 4


def test_a_probe_tells_what_the_image_has(docker, tmp_path):
    folder, asked = probe_job(tmp_path)
    system = docker()
    assert system.environment(()) is None
    handle = system.submit(folder)
    assert wait(handle).state == "done"
    environment = handle.collect(fetch=False).environment
    assert environment.engine == __version__
    assert environment.packages.keys() & {"pydantic", "nothing-of-that-name"} == {"pydantic"}
    assert environment.implementations.keys() == {"pass:ToyScale"}
    assert environment.executable == sys.executable
    assert probe(docker(), asked, Store(tmp_path / "cache"), print).packages == environment.packages


def test_jobs_run_in_the_image_that_was_probed_though_its_name_moves_on(docker, fake, tmp_path):
    system = docker()
    system.prepare(print)
    fake.image("olive:old", id_="sha256:11")
    fake.image(IMAGE, id_="sha256:99")
    assert wait(system.submit(job_of(tmp_path))).state == "done"
    assert fake.flags()[1][0] == "sha256:11"
    assert json.loads((fake.root / "images.json").read_text())[IMAGE]["id"] == "sha256:99"
