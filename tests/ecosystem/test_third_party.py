"""A distribution of a stranger: it works once it is installed, without a change anywhere else."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import attrs
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.ecosystem,
    pytest.mark.skipif(not (CHECKOUT / "pyproject.toml").is_file(), reason="the checkout is not beside the tests"),
]

DISTRIBUTION = {
    "pyproject.toml": """
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"

        [project]
        name = "acme-loud"
        version = "2.3"
        dependencies = ["crystallize-core", "attrs"]

        [project.entry-points."crystallize.plugins"]
        loud = "acme_loud.plugin:LoudPlugin"

        [project.entry-points."crystallize.executors"]
        backwards = "acme_loud.executor:Backwards"

        [project.entry-points."crystallize.steps"]
        scaled = "acme_loud.steps:scaled"
        """,
    "acme_loud/__init__.py": "",
    "acme_loud/plugin.py": """
        import threading

        import attrs

        from crystallize_core import BasePlugin

        @attrs.frozen
        class LoudPlugin(BasePlugin):
            volume: int = 1

            def before_replicate(self, ctx):
                ctx.add("volume", self.volume)

            lock = threading.Lock()

            def step_options(self):
                return {"gpu_lock": bool}

            def wrap_step(self, step, call):
                if not step.options.get("gpu_lock"):
                    return None

                def locked(data, ctx):
                    with self.lock:
                        ctx.emit("locked")
                        return call(data, ctx)

                locked.single_attempt = True
                return locked

            def after_run(self, result):
                result.add_warning(f"it was {'!' * self.volume}")
        """,
    "acme_loud/steps.py": """
        from crystallize_core import pipeline_step

        @pipeline_step()
        def scaled(data, volume=0, *, factor=1):
            return data * factor, {"scaled": data * factor, "volume": volume}
        """,
    "acme_loud/executor.py": """
        from crystallize_core import BasePlugin

        class Backwards(BasePlugin):
            concurrency = "serial"

            def run_experiment_loop(self, experiment, replicate_fn):
                return [replicate_fn(number) for number in reversed(replicate_fn.pending)][::-1]
        """,
}

EXPERIMENT = """
    import json
    import warnings

    from acme_loud.steps import scaled
    from crystallize_core import BasePlugin, Experiment, Treatment

    class Arrivals(BasePlugin):
        order = []

        def replicate_done(self, replicate):
            self.order.append(replicate)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        experiment = Experiment(
            lambda ctx: ctx["replicate"] + 1,
            [scaled(factor=10)],
            [Arrivals()],
            treatments=[Treatment("same", {"x": 1})],
            replicates=3,
        )
    result = experiment.run()
    print(json.dumps({
        "stack": [[p.name, p.distribution, p.version, dict(p.options)] for p in result.run.stack],
        "executor": result.run.executor,
        "arrivals": Arrivals.order,
        "metrics": result.metrics.baseline.metrics,
        "errors": [str(error) for error in result.errors.values()],
        "said": result.warnings,
        "warned": [f"{w.category.__name__}: {w.message}" for w in caught],
    }))
    """


LOCKED = """
    import json

    from crystallize_core import Pipeline, step

    @step(outputs=["model"], gpu_lock=True, cache=False)
    def train():
        return "fitted"

    @step(gpu_lock="yes", cache=False)
    def wrong(model):
        return model

    def problem(pipeline):
        try:
            pipeline.run()
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    result = Pipeline("locked").add_step(train).run()
    print(json.dumps([result["model"], result.step_results["train"].events, problem(Pipeline("wrong").add_steps(train, wrong))]))
    """


@attrs.frozen
class Environment:
    """A virtual environment with the core from this checkout and the distribution, and a project beside it."""

    python: Path
    project: Path

    def run(self, configuration: str = "", script: str = EXPERIMENT) -> dict:
        """Run the experiment, or another script, in a process of this environment, and give what it printed."""
        (self.project / "crystallize.toml").write_text(textwrap.dedent(configuration), encoding="utf-8")
        file = self.project / "experiment.py"
        file.write_text(textwrap.dedent(script), encoding="utf-8")
        done = subprocess.run(
            [self.python, file], cwd=self.project, env=_environ(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)


def _environ() -> dict[str, str]:
    """The variables of this process without what would let the environment see anything but itself."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {k: v for k, v in os.environ.items() if k not in hidden and not k.startswith("CRYSTALLIZE_")}


def _uv() -> str | None:
    found = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if found is None and importlib.util.find_spec("uv") is not None:
        import uv

        found = uv.find_uv_bin()
    return found


def _installed(folder: Path, files: dict[str, str]) -> Environment:
    for name, text in files.items():
        path = folder / "acme-loud" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    environment, uv = folder / "venv", _uv()
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if uv is not None:
        _call(uv, "venv", "--python", sys.executable, environment)
        _call(
            uv,
            "pip",
            "install",
            "--python",
            python,
            "--reinstall-package",
            "crystallize-core",
            CHECKOUT,
            folder / "acme-loud",
        )
    else:
        _call(sys.executable, "-m", "venv", environment)
        _call(python, "-m", "pip", "install", CHECKOUT, folder / "acme-loud")
    project = folder / "project"
    project.mkdir()
    return Environment(python, project)


def _call(*command: object) -> None:
    done = subprocess.run([*map(str, command)], env=_environ(), capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    unreachable = (
        "error sending request",
        "dns error",
        "Failed to fetch",
        "NewConnectionError",
        "Temporary failure in name",
    )
    if done.returncode and any(sign in text for sign in unreachable):
        pytest.skip(f"no package index can be reached: {text[-300:]}")
    assert done.returncode == 0, text


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The distribution as it should be."""
    return _installed(tmp_path_factory.mktemp("sound"), DISTRIBUTION)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """The distribution with a plugin that cannot be imported."""
    files = {**DISTRIBUTION, "acme_loud/plugin.py": "raise RuntimeError('no speaker')"}
    return _installed(tmp_path_factory.mktemp("broken"), files)


CONFIGURATION = """
    executor = "backwards"
    [options.loud]
    volume = 3
    """


def test_installing_it_is_enough(sound):
    """Its plugin is active, and its step is used like one's own."""
    assert sound.run() == {
        "stack": [["loud", "acme-loud", "2.3", {"volume": 1}], ["arrivals", None, None, {}]],
        "executor": None,
        "arrivals": [0, 1, 2],
        "metrics": {"scaled": [10, 20, 30], "volume": [1, 1, 1]},
        "errors": [],
        "said": ["it was !"],
        "warned": [],
    }


def test_a_project_sets_its_option_and_chooses_its_executor(sound):
    """By the names of its entry points, in `crystallize.toml`."""
    found = sound.run(CONFIGURATION)
    stack = {name: (distribution, options) for name, distribution, _, options in found["stack"]}
    assert stack == {"loud": ("acme-loud", {"volume": 3}), "backwards": ("acme-loud", {}), "arrivals": (None, {})}
    assert (found["executor"], found["arrivals"]) == ("backwards", [2, 1, 0])
    assert found["metrics"] == {"scaled": [10, 20, 30], "volume": [3, 3, 3]}
    assert (found["said"], found["errors"], found["warned"]) == (["it was !!!"], [], [])


def test_a_stack_that_names_it_has_it_in_its_place(sound):
    """The list of the project is the order."""
    found = sound.run('plugins = ["loud"]\n')
    assert [name for name, *_ in found["stack"]] == ["loud", "arrivals"]


def test_a_step_option_of_its_own_works_and_is_checked(sound):
    """`@step(gpu_lock=True)` is what its plugin makes of it; a wrong value is refused before anything runs."""
    assert sound.run(script=LOCKED) == [
        "fitted",
        ["locked"],
        "StepOptionError: pipeline 'wrong':\n  step 'wrong': option gpu_lock: expected bool, found str 'yes'",
    ]


ALONE = """
    import json

    from crystallize_core import Pipeline, StepOptionError, step

    @step(gpu_lock=True)
    def train():
        return "fitted"

    try:
        Pipeline("locked").add_step(train).run()
    except StepOptionError as error:
        print(json.dumps(str(error)))
    """


def test_without_it_the_step_option_is_an_error(sound):
    """It is never ignored."""
    assert sound.run('disable = ["loud"]\n', ALONE) == (
        "pipeline 'locked':\n  step 'train' asks for gpu_lock=True, but nothing in the stack provides 'gpu_lock': "
        "it has no step options."
    )


def test_the_command_line_knows_it(sound):
    """`crystallize plugins list` shows name, distribution and version."""
    (sound.project / "crystallize.toml").unlink(missing_ok=True)
    command = sound.python.with_name("crystallize")
    done = subprocess.run(
        [command, "plugins", "list", "--json"],
        cwd=sound.project,
        env=_environ(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [
        (row["name"], row["kind"], row["distribution"], row["version"]) for row in json.loads(done.stdout)["plugins"]
    ]
    assert rows == [("loud", "plugin", "acme-loud", "2.3"), ("backwards", "executor", "acme-loud", "2.3")]


def test_when_it_is_broken_the_same_experiment_runs_with_a_warning(broken):
    """What else the distribution brings still works."""
    reason = (
        "plugin 'loud' (acme_loud.plugin:LoudPlugin) cannot be imported: RuntimeError: no speaker "
        "[distribution 'acme-loud 2.3', plugin 'loud']"
    )
    found = broken.run(CONFIGURATION)
    assert [name for name, *_ in found["stack"]] == ["backwards", "arrivals"]
    assert (found["executor"], found["errors"]) == ("backwards", [])
    assert found["metrics"] == {"scaled": [10, 20, 30], "volume": [0, 0, 0]}
    assert found["said"] == [f"installed plugin 'loud' was skipped: {reason}"]
    assert found["warned"] == [f"PluginWarning: installed plugin 'loud' of acme-loud 2.3 is skipped: {reason}"]
