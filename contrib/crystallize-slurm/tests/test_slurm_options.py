"""The options: what they accept, what they refuse, and what Slurm is asked for."""

from __future__ import annotations

from importlib.metadata import entry_points

import attrs
import pytest

import crystallize_slurm
from crystallize_core import BasePlugin, DefinitionError, Experiment, as_request, pipeline_step
from crystallize_core.requirements import asked_by
from crystallize_slurm import SlurmExecution
from crystallize_slurm.parameters import parameters_of


def test_the_executor_has_its_documented_options_and_defaults():
    """The fields are the options, in the documented order."""
    found = {field.name: getattr(SlurmExecution(), field.name) for field in attrs.fields(SlurmExecution)}
    assert found == {
        "folder": ".crystallize/slurm",
        "cluster": None,
        "max_workers": 8,
        "timeout_minutes": 60,
        "partition": None,
        "account": None,
        "qos": None,
        "parameters": {},
        "max_deaths": 3,
        "chunk_seconds": 10.0,
        "poll_seconds": 1.0,
        "connect_timeout": 10.0,
        "progress": False,
        "address": None,
    }


def test_the_entry_point_names_the_class():
    """An executor is found under the name that it calls itself by."""
    found = {point.name: point for point in entry_points(group="crystallize.executors")}
    if "slurm" not in found:
        pytest.skip("crystallize-slurm is not installed as a distribution")
    assert (found["slurm"].load(), SlurmExecution.plugin_name) == (SlurmExecution, "slurm")
    assert isinstance(SlurmExecution(), BasePlugin)
    assert crystallize_slurm.__all__ == ["SlurmExecution"]


@pytest.mark.parametrize(
    ("option", "wrong", "expected"),
    [
        ("max_workers", 0, "max_workers must be an int of at least 1; found 0"),
        ("timeout_minutes", 1.5, "timeout_minutes must be an int of at least 1; found 1.5"),
        ("max_deaths", True, "max_deaths must be an int of at least 1; found True"),
        ("poll_seconds", 0, "poll_seconds must be a number of seconds above 0; found 0"),
        ("chunk_seconds", "1", "chunk_seconds must be a number of seconds above 0; found '1'"),
        ("connect_timeout", float("inf"), "connect_timeout must be a number of seconds above 0; found inf"),
        ("progress", 1, "progress must be True or False; found 1"),
        ("partition", "", "partition must be a name, or None for the default of the cluster; found ''"),
        ("cluster", "pbs", "cluster must be 'slurm' or 'local' or 'debug' or None; found 'pbs'"),
        ("folder", "runs/%j", "folder must be a path without '%', which Slurm replaces in file names; found 'runs/%j'"),
        ("parameters", [1], 'parameters must be a mapping such as {"slurm_gres": "gpu:1"}; found [1]'),
        ("parameters", {"nodes": 2}, "parameters: each job is one worker, so that 'nodes' must be 1; found 2"),
        ("parameters", {"slurm_time": 5}, "parameters: say it by the option timeout_minutes; found 'slurm_time'"),
        ("address", "slurm://", "address must be 'slurm://PARTITION'; found 'slurm://'"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected(option, wrong, expected):
    """The message says what is expected and what was found."""
    with pytest.raises(ValueError) as caught:
        SlurmExecution(**{option: wrong})
    assert str(caught.value) == expected


def test_an_address_is_a_partition():
    """`--executor slurm://gpu` comes as this option."""
    made = SlurmExecution(address="slurm://gpu")
    assert parameters_of(made, as_request({}), "e")["slurm_partition"] == "gpu"
    with pytest.raises(ValueError, match="names another partition than the option partition='cpu'"):
        SlurmExecution(partition="cpu", address="slurm://gpu")


def asked(resources, **options):
    return parameters_of(SlurmExecution(**options), as_request(resources), "my experiment: 2")


COMMON = {
    "name": "crystallize-my-experiment-2",
    "timeout_min": 60,
    "slurm_signal_delay_s": 90,
    "slurm_array_parallelism": 8,
    "slurm_additional_parameters": {"no-requeue": True},
}


@pytest.mark.parametrize(
    ("resources", "found"),
    [
        ({}, {}),
        ({"cpu": "2500m"}, {"cpus_per_task": 3}),
        ({"memory": "1.5Gi"}, {"mem_gb": 1.5}),
        ({"memory": 1}, {"mem_gb": 1 / 1024}),
        ({"storage": "2Gi"}, {"slurm_additional_parameters": {"no-requeue": True, "tmp": "2048M"}}),
        ({"gpu": 2}, {"gpus_per_node": 2}),
        ({"gpu": "a100", "gpu_count": 4}, {"slurm_gres": "gpu:a100:4"}),
        ({"affinity": ["zone=eu", "fast"]}, {"slurm_constraint": "fast&zone=eu"}),
    ],
)
def test_resources_of_steps_are_said_in_the_terms_of_slurm(resources, found):
    """Rounded up, never down."""
    assert asked(resources) == COMMON | found


def test_what_the_user_says_counts_more_than_what_steps_ask_for():
    """Names without the prefix of a cluster are those of Slurm."""
    parameters = {"gres": "gpu:tesla:1", "mem_gb": 4, "additional_parameters": {"nice": 5}, "signal_delay_s": 30}
    found = asked({"gpu": "v100", "memory": "1Gi"}, parameters=parameters, account="me", qos="low", partition="long")
    expected = {"slurm_gres": "gpu:tesla:1", "mem_gb": 4, "slurm_signal_delay_s": 30}
    expected |= {"slurm_account": "me", "slurm_qos": "low", "slurm_partition": "long"}
    assert found == COMMON | expected | {"slurm_additional_parameters": {"no-requeue": True, "nice": 5}}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"gpu": {"count": 1, "memory": "40Gi"}}, "Slurm cannot be asked for GPUs by their memory"),
        ({"affinity": ["a|b"]}, "machines with 'a|b', which cannot be a feature of a Slurm node"),
    ],
)
def test_what_slurm_cannot_be_asked_for_is_refused(resources, expected):
    """Unless the user says how to say it."""
    with pytest.raises(DefinitionError) as caught:
        asked(resources)
    assert expected in str(caught.value)
    assert asked(resources, parameters={"constraint": "big"})["slurm_constraint"] == "big"


def test_the_most_that_any_step_asks_for_reaches_the_script(slurm):
    """Every replicate runs all of the steps in one job."""

    class Claims(BasePlugin):
        def step_options(self):
            return {"resources": as_request}

    @pipeline_step(resources={"cpu": 2, "memory": "512Mi"})
    def small(data, ctx):
        return data

    @pipeline_step(resources={"cpu": 1, "memory": "1Gi", "affinity": ["fast"]})
    def large(data, ctx):
        return data

    made = SlurmExecution(
        max_workers=1, poll_seconds=0.1, timeout_minutes=5, partition="long", parameters={"comment": "x"}
    )
    experiment = Experiment(lambda ctx: 1, [small, large], replicates=2, plugins=[made, Claims()], name="two steps")
    assert asked_by(experiment) == as_request({"cpu": 2, "memory": "1Gi", "affinity": ["fast"]})
    assert experiment.run().errors == {}
    assert slurm.flags() == [
        "comment=x",
        "constraint=fast",
        "cpus-per-task=2",
        "job-name=crystallize-two-steps",
        "mem=1GB",
        "no-requeue",
        "nodes=1",
        "open-mode=append",
        "partition=long",
        "signal=USR2@30",
        "time=5",
        "wckey=submitit",
    ]


def test_a_parameter_that_submitit_does_not_know_is_named(slurm):
    """Before anything is submitted."""

    @pipeline_step()
    def value(data, ctx):
        return data

    made = SlurmExecution(parameters={"colour": "red"})
    with pytest.raises(Exception, match="Unknown argument 'colour'") as caught:
        Experiment(lambda ctx: 1, [value], replicates=2, plugins=[made]).run()
    assert "parameters of SlurmExecution: " in str(caught.value)
