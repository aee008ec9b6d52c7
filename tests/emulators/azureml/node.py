"""A job's place on its node: its snapshot, its inputs as read-only copies, and folders for its outputs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.jobs import Job
from tests.emulators.azureml.locations import Locations
from tests.emulators.azureml.storage import Storage
from tests.emulators.azureml.wire import Json, Refused

FileState = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Node:
    """The folders of one job, laid out as the cloud does.

    Attributes:
        root: Holds everything; it is removed when the job has ended.
    """

    root: Path
    job: Job
    storage: Storage
    locations: Locations
    assets: Assets

    @property
    def work(self) -> Path:
        """Where the command runs; the snapshot's files are here."""
        return self.root / "exe" / "wd"

    @property
    def home(self) -> Path:
        """The home and the temporary folder of the command."""
        return self.root / "home"

    def lay_out(self) -> dict[str, str]:
        """Lay out everything; what ``inputs.NAME`` and ``outputs.NAME`` stand for in the command.

        Raises:
            Refused: The snapshot or the data of an input is not there.
        """
        self.work.mkdir(parents=True)
        self.home.mkdir()
        if found := re.search(r"/codes/([^/]+)/versions/([^/]+)$", self.job.properties.get("codeId") or ""):
            where = self.locations.find(self.assets.get("codes", found[1], found[2])["properties"]["codeUri"])
            self.storage.download(where.container, where.path, self.work)
        inputs = {f"inputs.{name}": self._lay_input(name, stated) for name, stated in self._stated("inputs").items()}
        outputs = {f"outputs.{name}": str(self._folder("OUTPUT", name)) for name in self._stated("outputs")}
        for folder in outputs.values():
            Path(folder).mkdir(parents=True)
        return inputs | outputs

    def inputs_state(self) -> frozenset[FileState]:
        """The inputs' files with size and time: a superuser may write what is read-only, and is found out by this."""
        folders = (self._folder("INPUT", name) for name in self._stated("inputs"))
        files = (file for folder in folders if folder.is_dir() for file in folder.rglob("*") if file.is_file())
        return frozenset((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)

    def keep_outputs(self, artifacts: str, *, failed: bool) -> None:
        """Write the outputs to where they belong, and the folder ``outputs`` to the job's artifacts.

        What is mounted is kept of a job that failed, as it would have been written while it ran; what is uploaded at
        the end is not. The outputs of a job that ended well become data assets.
        """
        for name, stated in self._stated("outputs").items():
            if failed and stated.get("mode") == "Upload":
                continue
            uri = self.job.output_uri(name)
            where = self.locations.find(uri)
            self.storage.upload(self._folder("OUTPUT", name), where.container, where.path)
            if not failed:
                content: Json = {"dataUri": uri, "dataType": stated.get("jobOutputType", "uri_folder")}
                self.assets.put("data", f"azureml_{self.job.name}_output_data_{name}", "1", content)
        self.storage.upload(self.work / "outputs", artifacts, f"{self.job.artifacts}/outputs")

    def remove(self) -> None:
        """Leave nothing: what a job did not put out is gone in the cloud as well."""
        for path in self.root.rglob("*") if self.root.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(self.root, ignore_errors=True)

    def _lay_input(self, name: str, stated: Json) -> str:
        if stated["jobInputType"] == "literal":
            return str(stated["value"])
        if stated.get("mode") == "Direct":
            return str(stated["uri"])
        where, folder = self.locations.find(stated["uri"]), self._folder("INPUT", name)
        if not self.storage.download(where.container, where.path, folder):
            raise Refused(404, "ScriptExecution.StreamAccess.NotFound", f"Input {name} is not there: {stated['uri']}")
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        return str(folder / Path(where.path).name if stated["jobInputType"] == "uri_file" else folder)

    def _folder(self, kind: str, name: str) -> Path:
        return self.root / "cap" / "data-capability" / "wd" / f"{kind}_{name}"

    def _stated(self, kind: str) -> Mapping[str, Json]:
        return self.job.properties.get(kind) or {}
