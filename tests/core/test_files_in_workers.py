"""Files that are named by their path are loaded again by workers, and must not start all over there."""

import multiprocessing
import pickle

import pytest

from crystallize_core import BasePlugin, PluginError
from crystallize_core.stack.files import load_file, loaded_files

TEXT = """
from crystallize_core import BasePlugin, Experiment, resource_factory

def step(data):
    return data, {"n": data}

def source(ctx):
    return ctx["replicate"]

experiment = Experiment(source, [step], replicates=2, autoload=False)
"""


class Pool(BasePlugin):
    """As simple as a stranger's executor can be."""

    concurrency = "process"

    def run_experiment_loop(self, experiment, replicate_fn):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.map(replicate_fn, range(experiment.replicates))


def test_what_a_file_defines_reaches_workers(tmp_path):
    """The worker loads the file under the same name."""
    file = tmp_path / "defines.py"
    file.write_text(TEXT)
    module = load_file(file)
    assert module.experiment.run(executor=Pool()).metrics.baseline.metrics == {"n": [0, 1]}


def test_a_file_that_runs_while_it_is_loaded_is_told_so(tmp_path):
    """A worker that loads it must not run it again, or there would be no end of workers."""
    file = tmp_path / "runs.py"
    file.write_text(TEXT + "import pickle\nfrom crystallize_core.engine.run import Run\n")
    file.write_text(file.read_text() + "recipe = pickle.dumps(Run(experiment).replicate_fn)\nexperiment.run()\n")
    recipe = load_file(file).recipe
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(PluginError) as caught:
        pool.apply(pickle.loads, (recipe,))
    assert str(caught.value) == (
        f"{file} cannot be run: DefinitionError: {file} runs an experiment whenever it is loaded, and workers have to "
        'load it; put what only the main process is to do under `if __name__ == "__main__":`'
    )


def test_a_file_that_fails_is_not_loaded(tmp_path):
    """Nobody is sent to it later."""
    file = tmp_path / "fails.py"
    file.write_text("1 / 0")
    with pytest.raises(PluginError):
        load_file(file)
    assert str(file) not in loaded_files().values()
