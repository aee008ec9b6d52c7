"""The contract on a real Docker daemon, in an image that has this version of the engine."""

import os
import subprocess

import pytest

from olive_engine import __version__
from olive_engine.contracts import Probe
from olive_engine.probing import probe
from olive_engine.store import Store
from olive_engine.testing.harness import Trial, write_job
from olive_engine.testing.system_conformance import SystemConformance, wait
from olive_engine.testing.toys import build_toy_model
from olive_systems.docker import Docker
from olive_systems.docker.options import DockerSystemConfig
from tests.systems.docker.conftest import REAL_DOCKER

IMAGE = os.environ.get("OLIVE_TEST_DOCKER_IMAGE", "")


@pytest.fixture(scope="module")
def daemon():
    """A daemon that answers, and an image to use; else a skip."""
    if REAL_DOCKER is None or subprocess.run([REAL_DOCKER, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker daemon answers")
    if not IMAGE:
        pytest.skip("OLIVE_TEST_DOCKER_IMAGE names no image with this version of olive-engine")


@pytest.fixture
def system(daemon):
    """Two containers at once."""
    options = {"network": os.environ["OLIVE_TEST_DOCKER_NETWORK"]} if "OLIVE_TEST_DOCKER_NETWORK" in os.environ else {}
    system = Docker("box", DockerSystemConfig(image_name=IMAGE, workers=2, threads=1, **options))
    system.prepare(print)
    yield system
    system.close()


@pytest.mark.docker
class TestDocker(SystemConformance):
    @pytest.fixture
    def system(self, system):
        return system


@pytest.mark.docker
def test_an_image_tells_what_it_has(system, tmp_path):
    asked = Probe(packages=("pydantic",), steps=(("pass", "ToyScale"),))
    found = probe(system, asked, Store(tmp_path), print)
    assert found.engine == __version__
    assert found.packages.keys() >= {"pydantic"}
    assert system.environment_id != ""


@pytest.mark.docker
def test_files_of_a_container_belong_to_the_user_and_inputs_stay_as_they_are(system, tmp_path):
    model = build_toy_model(tmp_path / "model")
    before = {path: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    job = write_job(tmp_path, "ToyScale", [Trial({})], [model])
    assert wait(system.submit(job)).state == "done"
    made = [path for path in (job / "outputs").rglob("*") if path.is_file()]
    assert len(made) == 3
    assert {path.stat().st_uid for path in made} == {os.getuid()}
    assert {path: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before


@pytest.mark.docker
def test_a_job_outlives_its_handle(system, tmp_path):
    job = write_job(tmp_path, "ToyScale", [Trial({"seconds": 2.0})], [build_toy_model(tmp_path / "model")])
    system.submit(job)
    system.close()
    handle = system.attach(job)
    assert wait(handle).state == "done"
    assert [item.status for item in handle.collect(fetch=True).items] == ["done"]
    assert system.attach(job) is None


@pytest.mark.docker
def test_a_container_without_memory_says_so(system, tmp_path):
    small = Docker("box", DockerSystemConfig(**{**system.config.model_dump(), "memory": "8m"}))
    job = write_job(tmp_path, "ToyScale", [Trial({"seconds": 5.0})], [build_toy_model(tmp_path / "model")])
    update = wait(small.submit(job))
    small.close()
    assert update.state == "lost"
    assert "memory limit of 8m" in update.detail
