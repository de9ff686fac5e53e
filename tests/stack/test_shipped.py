"""Steps and datasources that distributions ship under a name."""

from __future__ import annotations

import sys

import pytest

from crystallize_core import DefinitionError, Experiment, Pipeline, PluginError, pipeline_step

STEPS = """
    from crystallize_core import data_source, pipeline_step

    @pipeline_step()
    def doubled(data, ctx, *, by=2):
        return data * by

    @data_source
    def rows(ctx):
        return 21
"""


@pytest.fixture
def shop(site):
    """A distribution that ships a step and a datasource."""
    site.module("x_shop", STEPS)
    site.distribution("x-shop", "[crystallize.steps]\ndoubled = x_shop:doubled\nrows = x_shop:rows\n")
    return site


def test_a_name_in_a_list_of_steps_is_a_step_of_a_distribution(shop):
    """Beside steps that are there as objects."""

    @pipeline_step()
    def plus(data, ctx):
        return data + 1

    assert Pipeline(["doubled", plus]).run(3) == 7
    assert Pipeline("later").add_step("doubled").run(3) == 6


def test_a_datasource_can_be_named(shop):
    """An experiment of names alone."""
    result = Experiment(datasource="rows", pipeline=["doubled", lambda data: (data, {"value": data})]).run()
    assert result.metrics.baseline.metrics == {"value": [42]}


def test_nothing_is_imported_until_it_is_named(shop):
    """Reading what is installed executes nothing."""
    with pytest.raises(DefinitionError):
        Pipeline(["halved"])
    assert "x_shop" not in sys.modules


def test_a_name_of_nothing_comes_with_what_may_have_been_meant(shop):
    """One message, with what is installed."""
    with pytest.raises(DefinitionError) as caught:
        Pipeline(["doubledd"])
    assert str(caught.value) == (
        "pipeline step 1 is the text 'doubledd', and there is no installed step of this name; did you mean 'doubled'?"
    )


def test_where_nothing_is_shipped_that_is_said(site):
    """A list of text is then most likely a mistake."""
    with pytest.raises(
        DefinitionError,
        match=r"is the text 'clean', and there is no installed step .*; no distribution here ships a step",
    ):
        Pipeline(["clean"])


def test_two_of_one_name_are_refused(shop):
    """Who is meant cannot be known."""
    shop.distribution("y-shop", "[crystallize.steps]\ndoubled = x_shop:doubled\n")
    with pytest.raises(
        DefinitionError,
        match=r"pipeline step 1: step 'doubled' is shipped by x-shop 1\.0 and y-shop 1\.0; uninstall one",
    ):
        Pipeline(["doubled"])


def test_a_distribution_that_is_not_allowed_ships_nothing(shop, monkeypatch):
    """What is named is refused with the line to add, and not imported."""
    monkeypatch.setenv("CRYSTALLIZE_ALLOW", "crystallize-*")
    with pytest.raises(
        PluginError, match=r"pipeline step 1: step 'doubled' is of x-shop 1\.0, which is not allowed; add 'x-shop' to"
    ):
        Pipeline(["doubled"])
    assert "x_shop" not in sys.modules


def test_problems_of_an_experiment_are_told_together(shop):
    """A wrong name is one of them."""
    with pytest.raises(DefinitionError) as caught:
        Experiment(datasource="row", pipeline=["doubledd"], replicates=0)
    assert [word in str(caught.value) for word in ("'rows'", "'doubled'", "replicates")] == [True] * 3
