"""`version=`: text of the author's that stands for the code of a step."""

from __future__ import annotations

import pytest

from crystallize_core import Pipeline, PipelineStep, pipeline_step, step
from crystallize_core.errors import DefinitionError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")


def chained(body, **options):
    """A step of a chain called `grow`, with this body."""
    space = {"__name__": "study"}
    exec(f"def grow(data, ctx, *, by=1):\n    {body}", space)
    return pipeline_step(cacheable=True, **options)(space["grow"])


def named(body, **options):
    """A step wired by names called `grow`, with this body."""
    space = {"__name__": "study"}
    exec(f"def grow(amount):\n    {body}", space)
    return step(outputs=["grown"], **options)(space["grow"])


class Grow(PipelineStep):
    version = "v2"

    def __call__(self, data, ctx):
        return data + 1


class Shrink(PipelineStep):
    name = "Grow"
    version = "v2"

    def __call__(self, data, ctx):
        return data - 1


def test_a_version_stands_for_the_code():
    """Of two steps of one name and version with different code only the version is compared."""
    assert chained("return data + 1", version="v2")().step_hash == chained("return data - 1", version="v2")().step_hash
    assert chained("return data + 1")().step_hash != chained("return data - 1")().step_hash
    assert named("return amount", version="v2").step_hash == named("return -amount", version="v2").step_hash
    assert named("return amount").step_hash != named("return -amount").step_hash
    assert Grow().step_hash == Shrink().step_hash


def test_a_class_may_give_it_among_its_options():
    """Like every option of the core."""

    class Optioned(PipelineStep):
        options = {"version": "v2"}

    assert Optioned.version == Optioned().version == "v2"


def test_name_version_and_bound_parameters_still_count():
    """And a version is never the same as no version."""
    grow = chained("return data + by", version="v2")
    made = [grow(), grow(by=2), chained("return data + by", version="v3")(), chained("return data + by")(), Grow()]
    assert len({each.step_hash for each in made}) == len(made)


def test_a_version_is_used_again_until_it_is_another_one():
    """An edit is not seen, as promised; another version, or another input, runs the step."""

    def run(body, version, amount):
        result = Pipeline([named(body, version=version)]).run(inputs={"amount": amount})
        return result.outputs["grown"], result.step_results["grow"].cached

    assert run("return amount + 1", "v1", 1) == (2, False)
    assert run("return amount + 100", "v1", 1) == (2, True)
    assert run("return amount + 100", "v1", 5) == (105, False)
    assert run("return amount + 100", "v2", 1) == (101, False)


def test_versions_of_steps_are_readable():
    """None where the code is compared."""
    assert chained("return data", version="v2")().version == "v2"
    assert named("return amount", version="v2").version == "v2"
    assert [chained("return data")().version, named("return amount").version, PipelineStep.version] == [None] * 3


@pytest.mark.parametrize("version", [2, "", True, ["v2"]])
def test_a_version_that_is_no_text_is_refused_where_it_stands(version):
    """By the decorators, and by the class."""
    wrong = f"version must be a non-empty str such as 'v2', found {version!r}"
    with pytest.raises(DefinitionError) as caught:
        chained("return data", version=version, tags=5)
    tags = "tags must be a mapping with text as keys, found 5"
    assert str(caught.value) == f"step 'grow' cannot be made:\n  {tags}\n  {wrong}"
    with pytest.raises(DefinitionError) as caught:
        named("return amount", version=version, tags=5)
    assert str(caught.value) == f"step 'grow' cannot be made:\n  {tags}\n  {wrong}"
    with pytest.raises(DefinitionError) as caught:
        type("Wrong", (PipelineStep,), {"version": version})
    assert str(caught.value) == f"step 'Wrong': {wrong}"


def test_a_version_that_an_instance_makes_is_checked_when_it_is_compared():
    """It cannot be known before."""

    class Computed(PipelineStep):
        @property
        def version(self):
            return 3

    with pytest.raises(DefinitionError) as caught:
        _ = Computed().step_hash
    assert str(caught.value) == "step 'Computed': version must be a non-empty str such as 'v2', found 3"


def test_a_version_where_the_code_does_not_count_is_refused():
    """It would do nothing."""
    with pytest.raises(DefinitionError) as caught:
        named("return amount", version="v2", cache="input_hash")
    left_out = "version='v2' stands for the code, which 'input_hash' leaves out; keep one of the two"
    assert str(caught.value) == f"step 'grow' cannot be made:\n  {left_out}"
    with pytest.raises(DefinitionError) as caught:
        named("return amount", version="v2", cache=lambda step, inputs, context: "key")
    assert str(caught.value) == (
        "step 'grow' cannot be made:\n"
        "  version='v2' stands for the code, which a cache key function leaves out; keep one of the two"
    )
    with pytest.raises(DefinitionError) as caught:
        type("Wrong", (PipelineStep,), {"version": "v2", "cache_strategy": "input_hash"})
    assert str(caught.value) == f"step 'Wrong': {left_out}"
