"""What a job's command has of this machine: third-party packages, and nothing of what is tested but what it ships."""

import json
import sys
import zipfile
from pathlib import Path

import packaging

from tests.emulators.azureml.submitting import shell

WHERE = "import json, sys, {0}; print(json.dumps([{0}.__file__, sys.prefix, sys.path]))"


def python(text):
    return f'python -c "{text}"'


def a_wheel(folder, name, version="1.0"):
    """The smallest wheel of a package that says its version."""
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"version = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return file


def test_the_checkout_is_not_there(azureml, client):
    client.jobs.create_or_update(shell("bare", python("import olive_engine")))
    assert azureml.job("bare").exit_code == 1
    assert "ModuleNotFoundError: No module named 'olive_engine'" in azureml.log("bare")


def test_third_party_packages_are_there(azureml, client):
    client.jobs.create_or_update(shell("third", python(WHERE.format("packaging"))))
    assert azureml.job("third").error is None
    file, prefix, path = json.loads(azureml.log("third"))
    assert Path(file).name == Path(packaging.__file__).name
    assert prefix != sys.prefix
    repository = Path(__file__).parents[3]
    assert not any(Path(entry).is_relative_to(repository) for entry in path if entry)


def test_a_shipped_wheel_is_what_runs(azureml, client, tmp_path):
    (tmp_path / "code").mkdir()
    a_wheel(tmp_path / "code", "olive_engine", "9.9")
    install = "python -m pip install --quiet --no-deps --no-index *.whl"
    show = python(
        "import olive_engine, importlib.metadata as m; print(olive_engine.version, m.version('olive-engine'))"
    )
    client.jobs.create_or_update(shell("wheel", f"{install} && {show}", code=str(tmp_path / "code")))
    ran = azureml.job("wheel")
    assert (ran.error, azureml.log("wheel")) == (None, "9.9 9.9\n")
    unpacked = f"PYTHONPATH=$(ls *.whl) {show}"
    client.jobs.create_or_update(shell("zipped", unpacked, code=str(tmp_path / "code")))
    assert azureml.job("zipped").error is None
    assert azureml.log("zipped") == "9.9 9.9\n"


def test_pip_in_a_job_leaves_the_tests_packages_alone(azureml, client, tmp_path):
    (tmp_path / "code").mkdir()
    a_wheel(tmp_path / "code", "packaging", "999.0")
    install = "pip install --quiet --no-deps --no-index *.whl"
    show = python("import packaging; print(packaging.version)")
    client.jobs.create_or_update(shell("shadow", f"{install} && {show}", code=str(tmp_path / "code")))
    assert azureml.job("shadow").error is None
    assert azureml.log("shadow").endswith("999.0\n")
    assert Path(packaging.__file__).is_file()
    assert packaging.__version__ != "999.0"


def test_a_job_has_little_of_this_environment(azureml, client, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_client")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    client.jobs.create_or_update(shell("env", "env; pwd", environment_variables={"OWN": "1"}))
    assert azureml.job("env").error is None
    said = azureml.log("env")
    assert "hf_of_the_client" not in said
    assert azureml.login.client_secret not in said
    variables = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert "PYTHONPATH" not in variables
    assert (variables["OWN"], variables["AZUREML_RUN_ID"]) == ("1", "env")
    assert variables["AZUREML_ARM_WORKSPACE_NAME"] == azureml.workspace_name
    assert said.splitlines()[-1].endswith("env/exe/wd")


def test_a_job_reads_a_secret_with_its_computes_identity(azureml, client, tmp_path):
    azureml.vaults["keys"] = {"hf-token": "hf_secret_of_the_vault"}
    (tmp_path / "code").mkdir()
    (tmp_path / "code/read.py").write_text(
        "import warnings; warnings.simplefilter('ignore')\n"
        "import requests\n"
        "from azure.identity import DefaultAzureCredential\n"
        "token = DefaultAzureCredential().get_token('https://vault.azure.net/.default').token\n"
        "url = 'https://keys.vault.azure.net/secrets/hf-token?api-version=7.4'\n"
        "print(requests.get(url).status_code)\n"
        "got = requests.get(url, headers={'Authorization': f'Bearer {token}'}).json()\n"
        "print(len(got['value']))\n"
    )
    client.jobs.create_or_update(shell("secret", "python read.py", code=str(tmp_path / "code")))
    ran = azureml.job("secret")
    assert (ran.error, azureml.log("secret")) == (None, "401\n22\n")
    asked = azureml.recorder.exchanges(path="keys.vault.azure.net/*")
    assert [(e.caller, e.status) for e in asked] == [("job:secret", 401), ("job:secret", 200)]
    assert not [e for e, body in azureml.recorder.bodies(caller="*") if b"hf_secret_of_the_vault" in body]
