"""No secret reaches the files that a run writes."""

from olive_engine.outputs import _masked


def test_secrets_are_not_shown_and_references_are() -> None:
    workflow = {
        "systems": {
            "cloud": {
                "type": "AzureML",
                "options": {
                    "hf_token": "${env:TOKEN}",
                    "azureml_client": {"default_auth_params": {"client_secret": "s3cret"}, "workspace_name": "w"},
                    "environment_variables": {
                        "LEVEL": "debug",
                        "A_TOKEN": "hush",
                        "key": "hush",
                        "B_KEY": "${env:KEY}",
                        "C_KEY": "${env:KEY:-hush}",
                        "D_TOKEN": "hush${env:X}",
                    },
                },
            }
        },
        "input_model": {"load_kwargs": {"token": "hf_abc", "revision": "main"}},
        "passes": {"token": [{"type": "LoRA"}]},
    }
    options = {
        "hf_token": "${env:TOKEN}",
        "azureml_client": {"default_auth_params": {"client_secret": "(not shown)"}, "workspace_name": "w"},
        "environment_variables": {
            "LEVEL": "debug",
            "A_TOKEN": "(not shown)",
            "key": "(not shown)",
            "B_KEY": "${env:KEY}",
            "C_KEY": "${env:KEY:-****}",
            "D_TOKEN": "****${env:X}",
        },
    }
    assert _masked(workflow) == {  # type: ignore[arg-type]  # plain values, which mypy sees as object
        "systems": {"cloud": {"type": "AzureML", "options": options}},
        "input_model": {"load_kwargs": {"token": "(not shown)", "revision": "main"}},
        "passes": {"token": [{"type": "LoRA"}]},
    }
