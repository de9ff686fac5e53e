"""`crystallize run --provision`: an environment made from the lock, with pip and with uv, from wheels on this disk."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import attrs
import pytest

from crystallize_core.stack.lock.distributions import closure

MINE = """
    from crystallize_core import BasePlugin

    class Plugin(BasePlugin):
        def after_run(self, experiment, result):
            pass
"""
STUDY = """
    import sys
    from crystallize_core import Experiment

    def where(data):
        print(sys.prefix, file=sys.stderr)
        return data, {"value": 1}

    def asks(data):
        return data, {"length": len(input())}

    def fails(data):
        raise ValueError("as it should")

    def waits(data):
        print("started", flush=True)
        input()

    experiment = Experiment(lambda ctx: 1, [where], name="study")
    asking = Experiment(lambda ctx: 1, [asks], name="asking")
    failing = Experiment(lambda ctx: 1, [fails], name="failing")
    waiting = Experiment(lambda ctx: 1, [waits], name="waiting")
"""

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        importlib.util.find_spec("ensurepip") is None, reason="this Python cannot make an environment with pip in it"
    ),
]


# --- wheels ----------------------------------------------------------------------------------------------


def _write_wheel(folder, name, version, files, tag="py3-none-any"):
    """A wheel of these files, by their paths in it."""
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    files = {f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(), **files}
    files.setdefault(
        f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode()
    )
    lines = []
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as wheel:
        for path, content in files.items():
            wheel.writestr(path, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            lines.append(f"{path},sha256={digest},{len(content)}")
        wheel.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,", ""]))


def _repack(found, folder):
    """A wheel of what is installed here."""
    name = found.metadata["Name"]
    root = Path(str(found.locate_file("")))
    version = found.version
    kept = {}
    for path in (Path(str(file)) for file in found.files or ()):
        is_ours = path.suffix != ".pyc" and ".." not in path.parts and path.suffix != ".pth"
        is_of_the_installer = path.name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json") or "uv_" in path.name
        if is_ours and not is_of_the_installer:
            kept[path.as_posix()] = (root / path).read_bytes()
    if not any(name.endswith(".py") for name in kept):  # linked
        package = Path(importlib.util.find_spec("crystallize_core").origin).parent
        for file in package.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                kept[file.relative_to(package.parent).as_posix()] = file.read_bytes()
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    kept = {(f"{info}/{key.partition('/')[2]}" if ".dist-info/" in key else key): value for key, value in kept.items()}
    tags = [line[5:] for line in kept[f"{info}/WHEEL"].decode().splitlines() if line.startswith("Tag: ")]
    _write_wheel(folder, name, version, kept, tags[0])


@attrs.frozen
class Machine:
    """A machine with one environment and no index but a folder of wheels."""

    wheels: Path
    python: Path

    def variables(self, *path):
        """What programs see: no variables of ours, no uv unless it is given."""
        hidden = ("CRYSTALLIZE_", "PIP_", "UV_", "PYTHON", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        index |= {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(self.wheels), "UV_OFFLINE": "1"}
        return {**kept, **index, "PATH": os.pathsep.join([str(self.python.parent), *map(str, path)])}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Made once: it takes seconds."""
    folder = tmp_path_factory.mktemp("machine")
    wheels = folder / "wheels"
    wheels.mkdir()
    for needed in closure(["crystallize-core"]).values():
        _repack(needed.distribution, wheels)
    points = b"[crystallize.plugins]\nmine = x_mine:Plugin\n"
    code = textwrap.dedent(MINE).encode()
    _write_wheel(wheels, "x-mine", "1.0", {"x_mine.py": code, "x_mine-1.0.dist-info/entry_points.txt": points})
    subprocess.run([sys.executable, "-m", "venv", str(folder / "here")], check=True, capture_output=True)
    made = Machine(wheels, folder / "here" / ("Scripts" if os.name == "nt" else "bin") / "python")
    install = [str(made.python), "-m", "pip", "install", "--quiet", "crystallize-core", "x-mine"]
    done = subprocess.run(install, env=made.variables(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return made


@attrs.frozen
class Project:
    """A folder with a study, on a machine."""

    machine: Machine
    folder: Path

    def command(self, *args):
        """What is typed."""
        return [str(self.machine.python), "-m", "crystallize_core", *args]

    def crystallize(self, *args, path=(), input=None, **variables):
        """Run the command."""
        return subprocess.run(
            self.command(*args),
            cwd=self.folder,
            env={**self.machine.variables(*path), **variables},
            input=input,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    @property
    def environment(self):
        """The one environment that was made."""
        (found,) = (path for path in (self.folder / ".crystallize" / "envs").iterdir() if path.is_dir())
        return found


def _project(machine, folder):
    (folder / "study.py").write_text(textwrap.dedent(STUDY), encoding="utf-8")
    (folder / "crystallize.toml").write_text('plugins = ["mine"]\n', encoding="utf-8")
    project = Project(machine, folder)
    locked = project.crystallize("lock")
    assert locked.returncode == 0, locked.stderr
    return project


@pytest.fixture(scope="module")
def provisioned(machine, tmp_path_factory):
    """A project whose environment was made with pip, and what was said."""
    project = _project(machine, tmp_path_factory.mktemp("provisioned"))
    return project, project.crystallize("run", "--provision", "study.py:experiment", "--json")


def test_the_target_runs_in_an_environment_made_from_the_lock(provisioned):
    """Verified, and locked there."""
    project, done = provisioned
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["run"]
    lock = json.loads(project.crystallize("lock", "--check", "--json").stdout)
    assert record["lock_digest"] == lock["digest"]
    assert [plugin["name"] for plugin in record["stack"]] == ["mine"]
    assert done.stderr.splitlines() == [
        f"making {project.environment} with pip, once for this lock",
        str(project.environment),
    ]


def test_what_the_project_says_otherwise_is_refused_there(provisioned):
    """The environment is not at fault, and stays."""
    project, _ = provisioned
    done = project.crystallize("run", "--provision", "study.py:experiment", CRYSTALLIZE_DISABLE="mine")
    assert done.returncode == 2
    assert "  disable: none is locked, mine is here\n" in done.stderr
    assert (project.environment / "crystallize-ready").exists()


def test_what_was_made_is_no_matter_of_version_control(provisioned):
    """Its folder says so itself."""
    project, _ = provisioned
    assert (project.folder / ".crystallize" / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_the_same_lock_is_made_once(provisioned):
    """The second run only runs."""
    project, _ = provisioned
    done = project.crystallize("run", "--provision", "study.py:experiment")
    assert (done.returncode, done.stderr) == (0, f"{project.environment}\n")


def test_the_exit_code_is_that_of_the_run(provisioned):
    """A step that fails is 1, a target that is not there is 2."""
    project, _ = provisioned
    codes = [project.crystallize("run", "--provision", f"study.py:{name}").returncode for name in ("failing", "none")]
    assert codes == [1, 2]


def test_what_is_typed_reaches_the_run(provisioned):
    """Standard input is handed on."""
    project, _ = provisioned
    done = project.crystallize("run", "study.py:asking", "--provision", "--json", input="12345\n")
    assert json.loads(done.stdout)["metrics"][0]["rows"][0][2] == 5


@pytest.mark.skipif(os.name == "nt", reason="there is no process to become on Windows")
def test_ctrl_c_reaches_the_run(provisioned):
    """It is the same process, and its exit code is that of an interrupted run."""
    project, _ = provisioned
    running = subprocess.Popen(
        project.command("run", "--provision", "study.py:waiting"),
        cwd=project.folder,
        env=project.machine.variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        assert running.stdout.readline() == "started\n"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=100)
    assert (running.returncode, "interrupted: none of 1 replicates was finished" in said) == (130, True)


def test_an_environment_that_was_left_half_made_is_made_anew_by_one_of_two_runs(provisioned, machine, tmp_path):
    """What says that it is complete is written last, and who comes second waits."""
    project = _project(machine, tmp_path)
    donor, _ = provisioned
    half = tmp_path / ".crystallize" / "envs" / donor.environment.name
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").symlink_to("/bin/false")
    two = [
        subprocess.Popen(
            project.command("run", "--provision", "study.py:experiment"),
            cwd=project.folder,
            env=project.machine.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=200)[1] for process in two)
    assert [process.returncode for process in two] == [0, 0]
    assert said == [f"{half}\n", f"making {half} with pip, once for this lock\n{half}\n"]


def test_a_failing_installer_is_one_message_with_the_end_of_what_it_said(machine, tmp_path):
    """And nothing is left that would be taken for complete."""
    project = _project(machine, tmp_path)
    done = project.crystallize("run", "--provision", "study.py", PIP_FIND_LINKS=str(tmp_path / "empty"))
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert lines[1].startswith("error: the environment of the lock cannot be made: `")
    assert lines[1].endswith("requirements.txt` ended with 1")
    assert any("No matching distribution found for" in line for line in lines)
    assert "`crystallize lock --requirements`" in lines[-1]
    assert not (project.environment / "crystallize-ready").exists()


def test_an_environment_that_is_not_what_the_lock_says_is_refused(machine, tmp_path):
    """Such as one of a wheel of the same version that somebody built again."""
    project = _project(machine, tmp_path)
    other = tmp_path / "wheels"
    shutil.copytree(machine.wheels, other)
    points = b"[crystallize.plugins]\nmine = x_mine:Plugin\n"
    code = textwrap.dedent(MINE).encode() + b"\n# built again\n"
    _write_wheel(other, "x-mine", "1.0", {"x_mine.py": code, "x_mine-1.0.dist-info/entry_points.txt": points})
    done = project.crystallize("run", "--provision", "study.py", PIP_FIND_LINKS=str(other))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{project.environment} was made, and is not what the lock says" in done.stderr
    assert "distribution x-mine: version 1.0 as locked, but its files are not; changed: x_mine.py" in done.stderr


def test_a_folder_that_cannot_be_written_is_one_message(machine, tmp_path):
    """Something is in the way."""
    project = _project(machine, tmp_path)
    (tmp_path / ".crystallize").write_text("", encoding="utf-8")
    done = project.crystallize("run", "--provision", "study.py")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: the environment of the lock cannot be made: ")


def test_another_python_needs_uv(machine, tmp_path):
    """The message says what to do."""
    project = _project(machine, tmp_path)
    code = (
        "import attrs; from pathlib import Path; from crystallize_core.stack.lock.document import *; "
        "path = Path('crystallize.lock'); write_lock(attrs.evolve(read_lock(path), python='3.9'), path)"
    )
    subprocess.run([str(machine.python), "-c", code], cwd=tmp_path, check=True)
    done = project.crystallize("run", "--provision", "study.py")
    here = ".".join(map(str, sys.version_info[:2]))
    expected = (
        f"error: the lock is of Python 3.9, and this is Python {here}; "
        "run this command with Python 3.9, or install uv, which finds it"
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, expected)


def test_without_a_lock_there_is_nothing_to_make(machine, tmp_path):
    """One message."""
    project = _project(machine, tmp_path)
    (tmp_path / "crystallize.lock").unlink()
    done = project.crystallize("run", "--provision", "study.py")
    expected = f"error: there is no {tmp_path / 'crystallize.lock'}; `crystallize lock` writes it\n"
    assert (done.returncode, done.stderr) == (2, expected)


def _uv():
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


@pytest.mark.skipif(_uv() is None, reason="uv is not installed")
def test_uv_makes_it_where_it_is_there(machine, tmp_path):
    """The files are the same as with pip, and so is the digest."""
    project = _project(machine, tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").symlink_to(_uv())
    done = project.crystallize("run", "--provision", "study.py:experiment", path=[tmp_path / "bin"])
    assert (done.returncode, done.stderr.splitlines()) == (
        0,
        [f"making {project.environment} with uv, once for this lock", str(project.environment)],
    )
