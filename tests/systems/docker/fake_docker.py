# ruff: noqa: T201 - a command prints
"""A docker command without a daemon, for tests: containers are process groups that see this machine's own files.

    python -I -S fake_docker.py ROOT COMMAND …

It takes what docker takes of the flags that the engine uses, and refuses all others; says what docker says, with
docker's exit codes; and really runs what it is asked to, with no variable but those that it is given. ROOT holds

    calls.jsonl       each call: its arguments, and the names of its environment variables
    given.jsonl       each container's variables: name -> sha256 of the value
    images.json       what is here: name -> {id, python}; python: what the image has under that name, empty: none
    registry.json     what can be pulled, alike
    info.json         the answer of `docker info`
    down              if it is there, no daemon answers
    containers/NAME/  state.json, stdout, stderr
"""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN_VALUES = {
    *("name", "hostname", "label", "pull", "user", "userns", "security-opt", "workdir", "env", "mount"),
    *("cpus", "memory", "shm-size", "gpus", "network"),
}
RUN_SWITCHES = {"detach", "init"}
REPEATED = {"label", "env", "mount", "security-opt"}
IMAGE_PATH = "/usr/local/bin:/usr/bin:/bin"
UNREACHABLE = "Cannot connect to the Docker daemon at {}. Is the docker daemon running?"
LEAST_MEMORY = 64 * 2**20
"""A container with less is said to have been killed for want of memory when it is killed."""


class Refused(Exception):
    """Ends the command: its exit code, and what it says."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Docker:
    def __init__(self, root):
        self.root = root

    def call(self, argv):
        record = json.dumps({"argv": argv, "names": sorted(os.environ)})
        with (self.root / "calls.jsonl").open("a") as calls:
            calls.write(record + "\n")
        if (self.root / "down").exists():
            frame = "docker: " if argv[0] == "run" else ""
            address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
            raise Refused(125 if argv[0] == "run" else 1, frame + UNREACHABLE.format(address))
        match argv:
            case ["info", "--format", "{{json .}}"]:
                print((self.root / "info.json").read_text())
            case ["image", "inspect", "--format", "{{.Id}}", name]:
                print(self.image(name, f"Error response from daemon: No such image: {tagged(name)}", 1)["id"])
            case ["pull", "--quiet", name]:
                self.pull(name)
            case ["run", *rest]:
                self.run(rest)
            case ["wait", name]:
                print(self.wait(name))
            case ["container", "inspect", "--format", "{{json .State}}", name]:
                print(json.dumps(self.state(name)))
            case ["logs", "--tail", count, name]:
                self.logs(name, int(count))
            case ["kill", name]:
                self.kill(name)
            case ["rm", "--force", name]:
                self.remove(name)
            case _:
                raise Refused(1, f"unknown command: docker {' '.join(argv)}")

    # --- images ---------------------------------------------------------------------------------------------------

    def images(self, file="images.json"):
        return json.loads((self.root / file).read_text())

    def image(self, name, complaint, code):
        images = self.images()
        found = next((image for tag, image in images.items() if name in (tag, image["id"])), None)
        if found is None:
            raise Refused(code, complaint)
        return found

    def pull(self, name):
        found = self.images("registry.json").get(name)
        if found is None:
            raise Refused(
                1,
                f"Error response from daemon: pull access denied for {name}, repository does not exist or may require "
                "'docker login': denied: requested access to the resource is denied",
            )
        (self.root / "images.json").write_text(json.dumps({**self.images(), name: found}))
        print(name)

    # --- containers -----------------------------------------------------------------------------------------------

    def folder(self, name):
        folder = self.root / "containers" / name
        if not folder.is_dir():
            raise Refused(1, f"Error response from daemon: No such container: {name}")
        return folder

    def state(self, name):
        return json.loads((self.folder(name) / "state.json").read_text())

    def run(self, words):
        flags, (image, *command) = parsed(words)
        sound(flags)
        name = flags["name"]
        assert flags["pull"] == "never"
        found = self.image(image, f"docker: Error response from daemon: No such image: {image}", 125)
        folder = self.root / "containers" / name
        if folder.exists():
            raise Refused(
                125,
                f'docker: Error response from daemon: Conflict. The container name "/{name}" is already in use by '
                'container "0123". You have to remove (or rename) that container to be able to reuse that name.\n\n'
                "Run 'docker run --help' for more information",
            )
        check_mounts([mount(each) for each in flags["mount"]])
        folder.mkdir(parents=True)
        write(folder / "state.json", {"Status": "created", "ExitCode": 0, "OOMKilled": False, "Error": ""})
        if "gpus" in flags and not json.loads((self.root / "info.json").read_text()).get("Runtimes"):
            text = 'could not select device driver "" with capabilities: [[gpu]].'
            raise Refused(125, f"docker: Error response from daemon: {text}\n\nRun 'docker run --help' for more")
        variables = {"PATH": IMAGE_PATH, "HOSTNAME": flags.get("hostname", name)}
        for each in flags["env"]:
            variable, written, value = each.partition("=")
            variables[variable] = value if written else os.environ[variable]
        digests = {each: hashlib.sha256(value.encode()).hexdigest() for each, value in variables.items()}
        with (self.root / "given.jsonl").open("a") as given:
            given.write(json.dumps(digests) + "\n")
        program = found["python"] if command[0] == "python" else shutil.which(command[0], path=IMAGE_PATH)
        if os.fork() == 0:
            supervise(folder, [program or "", *command[1:]], command[0], variables, flags)
        while self.state(name)["Status"] == "created":
            time.sleep(0.005)
        print("0123456789abcdef" * 4)

    def wait(self, name):
        while (state := self.state(name))["Status"] == "running":
            time.sleep(0.01)
        return state["ExitCode"]

    def logs(self, name, count):
        for stream, output in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            lines = (self.folder(name) / stream).read_text().splitlines(keepends=True)
            output.write("".join(lines[-count:]))

    def kill(self, name):
        state = self.state(name)
        if state["Status"] != "running":
            raise Refused(1, f"Error response from daemon: cannot kill container: {name}: container 01 is not running")
        end(state["Pid"])
        print(name)

    def remove(self, name):
        state = self.state(name)
        if state["Status"] == "running":
            end(state["Pid"])
            self.wait(name)
        shutil.rmtree(self.folder(name))
        print(name)


def supervise(folder, command, called, variables, flags):
    """Run a container to its end, away from the command that has started it."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        state = {"Status": "running", "ExitCode": 0, "OOMKilled": False, "Error": ""}
        if command[0]:
            process = subprocess.Popen(
                command, env=variables, cwd=flags["workdir"], stdout=out, stderr=err, start_new_session=True
            )
            write(folder / "state.json", {**state, "Pid": process.pid})
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            end(process.pid)  # what it has left behind
            code = process.wait()
        else:
            err.write(f"[FATAL tini (7)] exec {called} failed: No such file or directory\n")
            code = 127
    killed = code == -signal.SIGKILL and size(flags.get("memory", "1t")) < LEAST_MEMORY
    if folder.exists():
        write(
            folder / "state.json",
            {**state, "Status": "exited", "ExitCode": 128 - code if code < 0 else code, "OOMKilled": killed},
        )
    os._exit(0)


def end(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def write(path, value):
    path.with_suffix(".tmp").write_text(json.dumps(value))
    path.with_suffix(".tmp").replace(path)


# --- the command line of `docker run` -----------------------------------------------------------------------------


def parsed(words):
    """Its flags, and what follows them."""
    flags = {name: [] for name in REPEATED}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name, given, value = rest.pop(0).removeprefix("--").partition("=")
        if name in RUN_SWITCHES and not given:
            flags[name] = True
        elif name in RUN_VALUES:
            value = value if given else rest.pop(0)
            if name in REPEATED:
                flags[name].append(value)
            else:
                flags[name] = value
        else:
            raise Refused(125, f"unknown flag: --{name}\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]")
    return flags, rest


def sound(flags):
    """Refuse values that docker's own parser refuses."""
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", flags["name"]):
        raise Refused(125, f"docker: Error response from daemon: Invalid container name ({flags['name']})")
    assert flags["detach"]
    assert flags["init"]
    assert Path(flags["workdir"]).is_absolute()
    float(flags.get("cpus", 1))
    size(flags.get("memory", "1m"))
    size(flags.get("shm-size", "1m"))
    for field in next(csv.reader([flags.get("gpus", "all")])):
        if not re.fullmatch(r"all|\d+|device=[\w,:-]+", field):
            raise Refused(125, f'invalid argument "{field}" for "--gpus" flag: invalid count ({field})')


def size(text):
    number, unit = re.fullmatch(r"([\d.]+)\s?(?:([bkmgt])(?:i?b)?)?", text.lower()).groups()
    return int(float(number) * 1024 ** "bkmgt".index(unit or "b"))


def mount(text):
    fields = dict(field.partition("=")[::2] for field in next(csv.reader([text])))
    assert fields.keys() <= {"type", "source", "target", "readonly"}
    assert fields["type"] == "bind"
    return Path(fields["source"]), Path(fields["target"])


def check_mounts(mounts):
    """Refuse mounts that a container could not have, or in which a link leads out of all of them."""
    for source, target in mounts:
        if not source.exists():
            complaint = f'invalid mount config for type "bind": bind source path does not exist: {source}'
            raise Refused(125, f"docker: Error response from daemon: {complaint}")
        if os.path.realpath(source) != os.path.realpath(target):
            raise Refused(125, f"fake docker: {source} would have to be seen at {target}")
    targets = [target for _, target in mounts]
    for target in targets:
        for place, folders, files in os.walk(target):
            for path in (Path(place, name) for name in (*folders, *files)):
                if path.is_symlink():
                    leads = Path(os.path.normpath(path.parent / path.readlink()))
                    if not any(leads.is_relative_to(each) for each in targets):
                        raise Refused(125, f"fake docker: {path} leads to {leads}, which is not mounted")


def tagged(name):
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


if __name__ == "__main__":
    try:
        Docker(Path(sys.argv[1])).call(sys.argv[2:])
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(refused.code)
