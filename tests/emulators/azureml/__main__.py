"""The emulated cloud by itself, for trying things out: ``python -m tests.emulators.azureml [FOLDER]``, ended by Ctrl-C.

It writes the environment variables that make a shell its client, and says what a workflow says of its workspace.
"""

from __future__ import annotations

import shlex
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Event

from tests.emulators.azureml import certificates
from tests.emulators.azureml.emulator import CERTIFIED, Emulator
from tests.emulators.azureml.fixtures import OTHER_PROXIES
from tests.emulators.azureml.sandbox import Sandbox
from tests.emulators.azurite import installed, running


def main(root: Path) -> None:
    """Serve until Ctrl-C."""
    authority, sandbox, cloud = (root / name for name in ("authority", "sandbox", "cloud"))
    for part in (authority, sandbox, cloud):
        part.mkdir(parents=True, exist_ok=True)
    variables = root / "variables.sh"
    with (
        running(installed()) as azurite,
        Emulator(cloud, azurite, certificates.create(authority, CERTIFIED), Sandbox(sandbox)) as emulator,
    ):
        exports = [f"export {name}={shlex.quote(value)}\n" for name, value in emulator.variables().items()]
        variables.write_text(f"unset {' '.join(OTHER_PROXIES)}\n{''.join(exports)}")
        names = {
            "subscription_id": emulator.subscription_id,
            "resource_group": emulator.resource_group,
            "workspace_name": emulator.workspace_name,
        }
        lines = [
            f". {shlex.quote(str(variables))}",
            f"azureml_client: {{{', '.join(f'{name}: {value}' for name, value in names.items())}}}",
            f"aml_compute: one of {', '.join(emulator.computes)}",
        ]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="azureml-") as folder:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder))
