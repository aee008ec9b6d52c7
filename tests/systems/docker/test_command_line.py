"""What the engine asks of docker: limits, devices, users, variables, mounts. A real docker's parser agrees."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from olive_engine import machine
from olive_engine.errors import SystemUnavailable
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import wait
from olive_engine.testing.toys import build_toy_model
from olive_systems.docker.mounts import MOST_FILES, mounts_of
from olive_systems.docker.options import DockerSystemConfig
from tests.systems.docker.conftest import IMAGE, REAL_DOCKER

CANARY = "canary-8f31c0"


def scale(tmp_path, **config):
    """A job folder that scales a toy model."""
    return write_job(tmp_path, "ToyScale", [Trial(config)], [build_toy_model(tmp_path / "model")])


def finished(system, job):
    """The update of a job that is run to its end."""
    return wait(system.submit(job))


def mounts(flags):
    """The mounts of a command line: target -> (source, readonly)."""
    found = {}
    for text in flags["mount"]:
        fields = dict(field.partition("=")[::2] for field in next(csv.reader([text])))
        found[fields["target"]] = (fields["source"], "readonly" in fields)
    return found


# --- limits, devices, users ---------------------------------------------------------------------------------------


def test_without_options_nothing_is_limited(docker, fake, tmp_path):
    assert finished(docker(), scale(tmp_path)).state == "done"
    flags, command = fake.flags()
    assert flags.keys() & {"cpus", "memory", "shm-size", "gpus", "network", "userns", "security-opt"} == set()
    assert flags["pull"] == ["never"]
    assert flags["init"] == [""]
    assert command[:4] == ["sha256:11", "python", "-P", "-m"]


def test_limits_are_docker_s_own(docker, fake, tmp_path):
    fake.daemon(Runtimes={"nvidia": {}})
    system = docker(cpus=1.5, memory="8g", shm_size="2g", network="none", gpus=["0", "GPU-1a"])
    assert finished(system, scale(tmp_path)).state == "done"
    flags, _ = fake.flags()
    asked = {name: flags[name] for name in ("cpus", "memory", "shm-size", "network", "gpus")}
    assert asked == {
        "cpus": ["1.5"],
        "memory": ["8g"],
        "shm-size": ["2g"],
        "network": ["none"],
        "gpus": ['"device=0,GPU-1a"'],
    }


@pytest.mark.parametrize(
    ("options", "device", "value"),
    [
        ({"gpus": "all"}, "gpu", ["all"]),
        ({"gpus": 2}, "gpu", ["2"]),
        ({"accelerators": [{"device": "gpu"}]}, "gpu", ["all"]),
        ({"accelerators": [{"device": "cpu"}]}, "cpu", None),
    ],
)
def test_gpus_and_accelerators_say_the_same(docker, fake, tmp_path, options, device, value):
    fake.daemon(Runtimes={"nvidia": {}})
    system = docker(**options)
    system.submit(scale(tmp_path)).stop()
    assert (system.resources.device, fake.flags()[0].get("gpus")) == (device, value)
    assert system.capabilities.max_parallel == (1 if device == "gpu" else min(2, machine.cores()))


def test_a_job_has_the_threads_of_its_cpus(docker):
    assert docker(threads=None, cpus=3.5).resources.threads == 3
    assert docker(threads=None, cpus=0.5).resources.threads == 1
    assert docker(threads=4, cpus=2).resources.threads == 4


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, {"user": [f"{os.getuid()}:{os.getgid()}"]}),
        ({"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}, {}),
        ({"SecurityOptions": ["name=userns"]}, {"user": [f"{os.getuid()}:{os.getgid()}"], "userns": ["host"]}),
        (
            {"SecurityOptions": ["name=selinux"]},
            {"user": [f"{os.getuid()}:{os.getgid()}"], "security-opt": ["label=disable"]},
        ),
        ({"host": {"hostname": "h", "security": {"rootless": True, "selinuxEnabled": False}}}, {}),
    ],
    ids=["docker", "rootless", "remapped", "selinux", "podman"],
)
def test_files_belong_to_the_user(docker, fake, tmp_path, info, expected):
    fake.daemon(**info)
    assert finished(docker(), scale(tmp_path)).state == "done"
    flags, _ = fake.flags()
    assert {name: flags[name] for name in ("user", "userns", "security-opt") if name in flags} == expected


def test_the_machine_keeps_its_name(docker, fake, tmp_path):
    fake.daemon(Name="big-box")
    docker().submit(scale(tmp_path)).stop()
    assert fake.flags()[0]["hostname"] == ["big-box"]


@pytest.mark.skipif(REAL_DOCKER is None, reason="no docker command line is installed")
def test_a_real_docker_understands_every_flag(docker, fake, tmp_path):
    fake.daemon(Runtimes={"nvidia": {}}, SecurityOptions=["name=userns", "name=selinux"])
    options = {"cpus": 1.5, "memory": "8g", "shm_size": "512MiB", "network": "none", "gpus": ["0", "1"]}
    system = docker(**options, environment_variables={"A": "b"})
    (tmp_path / 'a "b", c').mkdir()
    job = scale(tmp_path / 'a "b", c')
    system.submit(job).stop()
    assert system.attach(job) is None
    nobody = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:1", "A": "b"}
    asked = {tuple(argv[:2]) if argv[0] in ("image", "container") else (argv[0],): argv for argv in fake.calls()}
    assert asked.keys() == {
        *(("image", "inspect"), ("container", "inspect")),
        *(("info",), ("run",), ("wait",), ("logs",), ("rm",)),
    }
    for argv in (*asked.values(), ["pull", "--quiet", "x"], ["kill", "x"]):
        done = subprocess.run([REAL_DOCKER, *argv], env=nobody, capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "Cannot connect to the Docker daemon at tcp://127.0.0.1:1" in done.stderr, argv


# --- variables ----------------------------------------------------------------------------------------------------


def test_values_of_variables_are_on_no_command_line_and_in_no_file(docker, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_HOST", "1")
    job = scale(tmp_path)
    update = finished(docker(environment_variables={"SERVICE": CANARY}), job)
    assert update.state == "done"
    assert "SERVICE" in fake.flags()[0]["env"]
    (given,) = map(json.loads, (fake.root / "given.jsonl").read_text().splitlines())
    assert given["SERVICE"] == hashlib.sha256(CANARY.encode()).hexdigest()
    assert "OF_THE_HOST" not in given
    files = [path for folder in (job, fake.root) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


def test_what_a_container_prints_of_a_secret_is_not_shown(docker, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("OF_THE_HOST", CANARY)
    tells = tmp_path / "tells"
    tells.write_text('#!/bin/sh\necho "it is $SERVICE" >&2\nexit 3\n')
    tells.chmod(0o755)
    fake.image(IMAGE, python=str(tells))
    update = finished(docker(environment_variables={"SERVICE": "${env:OF_THE_HOST}"}), scale(tmp_path))
    assert update.log == ("it is ****",)
    assert update.detail == "its worker ended with exit code 3 before the result was written"


def test_the_worker_s_settings_are_fixed(docker, fake, tmp_path):
    job = scale(tmp_path)
    finished(docker(threads=3, environment_variables={"TOKENIZERS_PARALLELISM": "true"}), job)
    env = fake.flags()[0]["env"]
    assert {"OMP_NUM_THREADS=3", "MKL_NUM_THREADS=3"} <= set(env)
    assert {"HF_HUB_DISABLE_TELEMETRY=1", "ORT_DISABLE_TELEMETRY=1"} <= set(env)
    assert f"HOME={job}/scratch/home" in env
    assert [each for each in env if each.startswith("TOKENIZERS")] == ["TOKENIZERS_PARALLELISM"]


@pytest.mark.parametrize("name", ["PATH", "HOME", "DOCKER_HOST", "LD_PRELOAD", "PYTHONPATH", "OMP_NUM_THREADS"])
def test_variables_that_would_change_more_than_the_job_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} cannot be set"):
        DockerSystemConfig(image_name="x", environment_variables={name: "1"})


DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "name",
    [
        "olive",
        "me/olive_engine:1.0-cpu",
        "localhost:5000/a/b--c",
        "Registry.Example/x",
        "[::1]:5000/x",
        f"ghcr.io/a/b:1@sha256:{DIGEST}",
        f"sha256:{DIGEST}",
    ],
)
def test_names_of_images_are_those_of_docker(name):
    assert DockerSystemConfig(image_name=name).image_name == name


@pytest.mark.parametrize("name", ["my olive", "Olive", "a/B", "a:", "a::1", "-x", "a//b", "a@sha256:12", "a:1\n", "é"])
def test_what_is_no_name_of_an_image_is_refused(name):
    with pytest.raises(ValueError, match="expected the name of an image such as"):
        DockerSystemConfig(image_name=name)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"accelerators": [{"device": "npu"}]}, "the device npu is not available"),
        ({"accelerators": [{"device": "cpu"}], "gpus": 1}, "accelerators names no gpu"),
        ({"memory": "eight"}, "expected a size such as 8g or 512m, found 'eight'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, what):
    with pytest.raises(ValueError, match=what):
        DockerSystemConfig(image_name="x", **options)


# --- mounts -------------------------------------------------------------------------------------------------------


def test_a_job_sees_its_files_and_no_others(docker, fake, tmp_path):
    job = scale(tmp_path)
    state = tmp_path / "cache" / "state"
    state.mkdir(parents=True)
    (job / "state").mkdir()
    (job / "state" / "0").symlink_to(state)
    assert finished(docker(), job).state == "done"
    assert mounts(fake.flags()[0]) == {
        str(job): (str(job), False),
        str(job / "inputs"): (str(job / "inputs"), True),
        str(tmp_path / "model"): (str(tmp_path / "model"), True),
        str(state): (str(state), False),
    }


def test_a_user_s_file_is_mounted_without_its_neighbours(tmp_path):
    home, job = tmp_path / "home", tmp_path / "job"
    (home / ".ssh").mkdir(parents=True)
    (home / "rows.jsonl").write_text("{}")
    (job / "inputs" / "items").mkdir(parents=True)
    (job / "inputs" / "items" / "train.jsonl").symlink_to(home / "rows.jsonl")
    files = {mount.target: mount.source for mount in mounts_of(job)}
    assert files == {job: job, job / "inputs": job / "inputs", home / "rows.jsonl": home / "rows.jsonl"}


def test_links_of_links_end_at_what_they_mean(tmp_path):
    """A model in the hub's cache: its files are links to blobs beside it; the cache itself is behind a link."""
    disk, job = tmp_path / "disk", tmp_path / "job"
    (disk / "snapshots" / "1a").mkdir(parents=True)
    (disk / "blobs").mkdir()
    (disk / "blobs" / "ff").write_text("weights")
    (disk / "snapshots" / "1a" / "model.safetensors").symlink_to("../../blobs/ff")
    (tmp_path / "hub").symlink_to(disk)
    (job / "inputs").mkdir(parents=True)
    (job / "inputs" / "folder").symlink_to(tmp_path / "hub" / "snapshots" / "1a")
    found = {mount.target: (mount.source, mount.readonly) for mount in mounts_of(job)[2:]}
    assert found == {
        tmp_path / "hub" / "snapshots" / "1a": (disk / "snapshots" / "1a", True),
        tmp_path / "hub" / "blobs" / "ff": (disk / "blobs" / "ff", True),
    }
    (job / "inputs" / "folder").unlink()
    (job / "inputs" / "file").symlink_to(tmp_path / "hub" / "snapshots" / "1a" / "model.safetensors")
    found = {mount.target: mount.source for mount in mounts_of(job)}
    assert found[tmp_path / "hub" / "snapshots" / "1a" / "model.safetensors"] == disk / "blobs" / "ff"


def test_many_files_of_a_folder_are_that_folder(tmp_path):
    job, shards = tmp_path / "job", tmp_path / "shards"
    (job / "inputs").mkdir(parents=True)
    shards.mkdir()
    for number in range(MOST_FILES + 1):
        (shards / f"{number}.bin").touch()
        (job / "inputs" / f"{number}.bin").symlink_to(shards / f"{number}.bin")
    assert [mount.target for mount in mounts_of(job)] == [job, job / "inputs", shards]
    (job / "inputs" / "0.bin").unlink()
    assert len(mounts_of(job)) == 2 + MOST_FILES


def test_names_with_commas_and_quotes_survive(docker, fake, tmp_path):
    folder = tmp_path / 'a "b", c: d'
    folder.mkdir()
    job = scale(folder)
    assert finished(docker(), job).state == "done"
    assert str(job) in mounts(fake.flags()[0])


def test_a_link_that_leads_nowhere_is_named(docker, tmp_path):
    job = scale(tmp_path)
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(SystemUnavailable, match=r"box: .*model_path leads to .*, which is not there"):
        docker().submit(job)


def test_a_container_without_the_mount_would_be_refused_by_the_fake(docker, fake, tmp_path, monkeypatch):
    """The fake sees what a real daemon would: without the model's mount its link leads out of the container."""
    monkeypatch.setattr("olive_systems.docker.system.mounts_of", lambda job: mounts_of(job)[:2])
    with pytest.raises(SystemUnavailable, match="which is not mounted"):
        docker().submit(scale(tmp_path))
    assert Path(fake.root, "given.jsonl").exists() is False
