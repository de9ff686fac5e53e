"""Files that are named by their path are loaded again by workers, and must not start all over there."""

import pickle
import subprocess
import sys

import pytest

from crystallize_core import PluginError
from crystallize_core.engine.run import Run
from crystallize_core.stack.files import load_file, loaded_files

TEXT = """
import pickle
from crystallize_core import Experiment
from crystallize_core.engine.run import Run

def step(data):
    return data, {"n": data}

def source(ctx):
    return ctx["replicate"]

experiment = Experiment(source, [step], replicates=2, autoload=False)
recipe = pickle.dumps(Run(experiment).replicate_fn)
"""
WORKER = """
import pickle, sys
try:
    replicate_fn = pickle.loads(sys.stdin.buffer.read())
except Exception as error:
    print(type(error).__name__, error)
else:
    print([replicate_fn(number).metrics for number in range(2)])
"""


def worker(recipe):
    """What another process says that is sent the recipe of an experiment."""
    done = subprocess.run([sys.executable, "-c", WORKER], input=recipe, capture_output=True, timeout=60, check=True)
    return done.stdout.decode().strip()


def test_what_a_file_defines_reaches_workers(tmp_path):
    """The worker loads the file under the same name."""
    file = tmp_path / "defines.py"
    file.write_text(TEXT)
    recipe = pickle.dumps(Run(load_file(file).experiment).replicate_fn)
    assert worker(recipe) == "[{'baseline': {'n': [0]}}, {'baseline': {'n': [1]}}]"


def test_what_is_sent_while_the_file_is_loaded_reaches_workers_too(tmp_path):
    """The file is known before it has run to its end."""
    file = tmp_path / "sends.py"
    file.write_text(TEXT)
    assert worker(load_file(file).recipe) == "[{'baseline': {'n': [0]}}, {'baseline': {'n': [1]}}]"


def test_a_file_that_runs_while_it_is_loaded_is_told_so(tmp_path):
    """A worker that loads it must not run it again, or there would be no end of workers."""
    file = tmp_path / "runs.py"
    file.write_text(TEXT + "experiment.run()\n")
    assert worker(load_file(file).recipe) == (
        f"PluginError {file} cannot be run: DefinitionError: {file} runs an experiment whenever it is loaded, and "
        'workers have to load it; put what only the main process is to do under `if __name__ == "__main__":`'
    )


def test_a_file_that_fails_is_not_loaded(tmp_path):
    """Nobody is sent to it later."""
    file = tmp_path / "fails.py"
    file.write_text("1 / 0")
    with pytest.raises(PluginError):
        load_file(file)
    assert str(file) not in loaded_files().values()
