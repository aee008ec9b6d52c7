"""Command jobs through the SDK as it is published: submitted, followed, chained, canceled."""

import time
from pathlib import Path

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

from tests.emulators.azureml.computes import Compute
from tests.emulators.azureml.sdk import Input, Output
from tests.emulators.azureml.submitting import environment, shell

MAIN = """
import os, pathlib, sys
x, f, o = sys.argv[1:]
print(sorted(os.listdir()), os.environ["FOO"], os.environ["AZUREML_RUN_ID"])
pathlib.Path(o, "sub").mkdir()
pathlib.Path(o, "sub", "out.txt").write_text(pathlib.Path(f).read_text() * int(x))
os.mkdir("outputs")
pathlib.Path("outputs/extra.txt").write_text("extra")
"""


def until(holds, within_s=20):
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_job_runs_its_command_on_its_code_and_data(azureml, client, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/main.py").write_text(MAIN)
    (tmp_path / "in.txt").write_text("ab")
    job = shell(
        "whole",
        "python main.py ${{inputs.x}} ${{inputs.f}} ${{outputs.o}}",
        code=str(tmp_path / "code"),
        inputs={"x": 3, "f": Input(type="uri_file", path=str(tmp_path / "in.txt"))},
        outputs={"o": Output(type="uri_folder", mode="rw_mount")},
        environment_variables={"FOO": "bar"},
        environment=environment(dependencies=["python=3.11", {"pip": ["packaging", "no-such-package==1"]}]),
    )
    client.jobs.create_or_update(job)
    ran = azureml.job("whole")
    assert (ran.error, ran.exit_code) == (None, 0)
    assert ran.statuses == ["Queued", "Starting", "Preparing", "Running", "Finalizing", "Completed"]
    assert azureml.log("whole") == "['main.py'] bar whole\n"
    assert azureml.output("whole", "o") == {"sub/out.txt": b"ababab"}
    assert ran.unmet == ("no-such-package==1",)
    assert client.jobs.get("whole").status == "Completed"

    client.jobs.download("whole", download_path=tmp_path / "all", all=True)
    found = {f.relative_to(tmp_path / "all").as_posix(): f.read_text() for f in (tmp_path / "all").rglob("*.txt")}
    assert found == {
        "artifacts/user_logs/std_log.txt": "['main.py'] bar whole\n",
        "artifacts/outputs/extra.txt": "extra",
        "named-outputs/o/sub/out.txt": "ababab",
    }
    client.jobs.download("whole", download_path=tmp_path / "one", output_name="o")
    assert (tmp_path / "one/named-outputs/o/sub/out.txt").read_text() == "ababab"
    assert not (tmp_path / "one/artifacts").exists()
    assert list((tmp_path / "azureml/nodes").iterdir()) == []
    assert azureml.recorder.refused_hosts == []


def test_a_job_is_submitted_once_per_name(azureml, client):
    for _ in range(2):
        client.jobs.create_or_update(shell("once", "echo run"))
    azureml.job("once")
    with azureml.recorder.label("late"):
        client.jobs.create_or_update(shell("once", "echo run", tags={"try": "3"}))
    assert client.jobs.get("once").tags == {"try": "3"}
    assert azureml.log("once") == "run\n"
    puts = azureml.recorder.exchanges("PUT", "*/jobs/once")
    assert [put.status for put in puts] == [201, 200, 200]
    assert azureml.recorder.submitted() == ["once"]
    with pytest.raises(ResourceExistsError, match="exists and differs in command"):
        client.jobs.create_or_update(shell("once", "echo other"))
    assert [job.name for job in client.jobs.list()] == ["once"]


def test_logs_are_streamed_while_a_job_runs(azureml, client, capfd):
    azureml.runner.settle_s = 1.5
    client.jobs.create_or_update(shell("talk", "echo first; sleep 1; echo second"))
    client.jobs.stream("talk")
    said = capfd.readouterr().out
    assert "Streaming user_logs/std_log.txt\n" in said
    assert said.index("first\n") < said.index("second\n") < said.index("Execution Summary")


def test_a_log_can_be_read_from_where_it_was_read_before(azureml, client):
    client.jobs.create_or_update(shell("ranges", "echo 0123456789; sleep 30"))
    path = azureml.jobs["ranges"].artifacts + "/user_logs/std_log.txt"
    container = azureml.datastores["workspaceartifactstore"]
    until(lambda: path in azureml.storage.paths(container) and azureml.log("ranges"))
    from azure.storage.blob import BlobClient

    url = azureml.storage.readable_url(container, path)
    assert BlobClient.from_blob_url(url).download_blob(offset=4).readall() == b"456789\n"
    client.jobs.begin_cancel("ranges").result()
    assert azureml.job("ranges").status == "Canceled"


def test_a_job_takes_what_another_made(azureml, client):
    out = {"o": Output(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/chain/${{name}}")}
    client.jobs.create_or_update(shell("one", "echo 1 > ${{outputs.o}}/n", outputs=out))
    azureml.job("one")
    ways = {
        "path": "azureml://datastores/workspaceblobstore/paths/chain/one/",
        "output": "azureml://jobs/one/outputs/o",
        "asset": "azureml:azureml_one_output_data_o:1",
    }
    with azureml.recorder.label("chain"):
        inputs = {name: Input(type="uri_folder", path=path) for name, path in ways.items()}
        text = "cat ${{inputs.path}}/n ${{inputs.output}}/n ${{inputs.asset}}/n $AZURE_ML_INPUT_path/n"
        client.jobs.create_or_update(shell("two", text, inputs=inputs))
        assert azureml.job("two").error is None
    assert azureml.log("two") == "1\n" * 4
    assert azureml.recorder.traffic(path=f"{azureml.storage.host}/*", label="chain").up == 0
    last = {"f": Input(type="uri_file", path="azureml://jobs/one/outputs/o/paths/n")}
    client.jobs.create_or_update(shell("three", "cat ${{inputs.f}}", inputs=last))
    assert (azureml.job("three").error, azureml.log("three")) == (None, "1\n")


def test_a_failing_job_tells_its_last_lines(azureml, client, tmp_path):
    out = {"kept": Output(type="uri_folder", mode="rw_mount"), "not": Output(type="uri_folder", mode="upload")}
    text = "echo partial > ${{outputs.kept}}/f; echo partial > ${{outputs.not}}/f; echo boom >&2; exit 3"
    client.jobs.create_or_update(shell("bad", text, outputs=out))
    ran = azureml.job("bad")
    assert (ran.status, ran.exit_code) == ("Failed", 3)
    assert ran.error[1].endswith("ended with code 3; see user_logs/std_log.txt. Its last lines: boom")
    assert azureml.output("bad", "kept") == {"f": b"partial\n"}
    assert azureml.output("bad", "not") == {}
    from azure.ai.ml.exceptions import JobException

    with pytest.raises(JobException, match="Its last lines: boom"):
        client.jobs.stream("bad")


def test_a_canceled_job_ends_and_its_children_with_it(azureml, client):
    client.jobs.create_or_update(shell("long", "trap 'echo stopped; exit 1' TERM; echo up; sleep 100 & wait"))
    until(lambda: azureml.jobs["long"].status == "Running" and azureml.log("long") == "up\n")
    client.jobs.begin_cancel("long").result()
    ran = azureml.job("long", ended_s=10)
    assert ran.statuses[-2:] == ["CancelRequested", "Canceled"]
    assert azureml.log("long") == "up\nstopped\n"
    assert client.jobs.get("long").status == "Canceled"


def test_jobs_wait_for_nodes(azureml, client):
    azureml.computes["single"] = Compute("single", max_nodes=1)
    client.jobs.create_or_update(shell("first", "sleep 30", compute="single"))
    until(lambda: azureml.jobs["first"].status == "Running")
    client.jobs.create_or_update(shell("second", "echo done", compute="single"))
    assert client.jobs.get("second").status == "Queued"
    client.jobs.begin_cancel("first").result()
    assert azureml.job("second").status == "Completed"
    azureml.computes["workstation"].state = "Stopped"
    client.jobs.create_or_update(shell("third", "echo done", compute="workstation"))
    time.sleep(0.2)
    assert azureml.jobs["third"].statuses == ["Queued"]
    azureml.computes["workstation"].state = "Running"
    assert azureml.job("third").status == "Completed"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"compute": "none"}, "compute target none does not exist"),
        ({"environment": "azureml:none:1"}, "Could not find environments/none"),
        ({"environment": environment(dependencies="python")}, "no list of dependencies"),
        ({"environment": environment(dependencies=["python=3.11", {"pip": ["a b"]}])}, "asks pip for 'a b'"),
    ],
)
def test_what_cannot_run_is_refused(azureml, client, changed, said):
    with pytest.raises(HttpResponseError, match=said):
        client.jobs.create_or_update(shell("refused", "echo", **changed))
    with pytest.raises(ResourceNotFoundError, match="Job refused not found"):
        client.jobs.get("refused")


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({"environment": environment(dependencies=["python=3.8.13"])}, "ImageBuildFailure", "asks for python ==3.8.13"),
        (
            {"inputs": {"i": Input(type="uri_folder", path="azureml://datastores/workspaceblobstore/paths/none/")}},
            "ScriptExecution.StreamAccess.NotFound",
            "Input i is not there",
        ),
    ],
)
def test_what_is_found_missing_on_the_node_fails_the_job(azureml, client, changed, code, said):
    client.jobs.create_or_update(shell("fails", "echo never", **changed))
    ran = azureml.job("fails")
    assert (ran.status, ran.error[0]) == ("Failed", code)
    assert said in ran.error[1]
    assert "Running" not in ran.statuses


def test_inputs_are_read_only(azureml, client, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/f").write_text("as it was")
    given = {"d": Input(type="uri_folder", path=str(tmp_path / "data"))}
    client.jobs.create_or_update(shell("writes", "chmod -R u+w ${{inputs.d}}; echo x > ${{inputs.d}}/f", inputs=given))
    ran = azureml.job("writes")
    assert ran.error == (
        "UserError",
        "Read-only file system: an input was changed: cap/data-capability/wd/INPUT_d/f",
    )


def test_the_example_of_the_readme(azureml):
    text = (Path(__file__).parent / "README.md").read_text()
    example = next(part.partition("```")[0] for part in text.split("```python\n") if "def test_a_job" in part)
    names = {}
    exec(example, names)
    names["test_a_job"](azureml)
