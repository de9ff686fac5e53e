"""Hypotheses: paired samples, verdicts and ranking; what fails there is recorded and loses nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    DefinitionError,
    Experiment,
    Hypothesis,
    HypothesisResult,
    Treatment,
    VerifierError,
    hypothesis,
    rank_by_p_value,
    verifier,
)


def record(data, ctx, gain=0):
    if (ctx["condition"], ctx["replicate"]) in ctx.get("failing", ()):
        raise ValueError("fails here")
    return data, {"score": ctx["replicate"] + gain, "other": -ctx["replicate"]}


def run(*hypotheses: Hypothesis, failing: Any = (), treatments: Any = ("a", "b"), replicates: int = 3) -> Any:
    experiment = Experiment(
        lambda ctx: 0,
        [record],
        initial_ctx={"failing": list(failing)},
        treatments=[Treatment(name, {"gain": 10 * (at + 1)}) for at, name in enumerate(treatments)],
        hypotheses=hypotheses,
        replicates=replicates,
        autoload=False,
    )
    return experiment.run()


def samples(baseline, treatment):
    """A verifier that shows what it was given."""
    return {"baseline": dict(baseline), "treatment": dict(treatment), "p_value": 0.5}


# What a verifier gets -----------------------------------------------------------------------------


def test_a_verifier_gets_the_samples_of_both_conditions():
    """Mappings of metric to values, in replicate order."""
    (found,) = run(Hypothesis(samples, "score")).metrics.hypotheses
    assert found.results == {
        "a": {"baseline": {"score": [0, 1, 2]}, "treatment": {"score": [10, 11, 12]}, "p_value": 0.5},
        "b": {"baseline": {"score": [0, 1, 2]}, "treatment": {"score": [20, 21, 22]}, "p_value": 0.5},
    }
    assert found.replicates == {"a": 3, "b": 3}
    assert found.errors == {}


def test_replicates_that_failed_in_either_condition_are_left_out_of_both():
    """Pairs stay pairs, and each comparison says how many entered it."""
    failing = [("baseline", 0), ("a", 2), ("b", 0)]
    (found,) = run(Hypothesis(samples, "score"), failing=failing, replicates=4).metrics.hypotheses
    assert found.results["a"] == {"baseline": {"score": [1, 3]}, "treatment": {"score": [11, 13]}, "p_value": 0.5}
    assert found.results["b"] == {
        "baseline": {"score": [1, 2, 3]},
        "treatment": {"score": [21, 22, 23]},
        "p_value": 0.5,
    }
    assert found.replicates == {"a": 2, "b": 3}


@given(st.sets(st.tuples(st.sampled_from(["baseline", "a", "b"]), st.integers(0, 5))))
def test_samples_are_always_pairs(failing):
    """Whatever fails, the values at one place of both lists come from one replicate."""
    result = run(Hypothesis(samples, ["score", "other"]), failing=sorted(failing), replicates=6)
    for name, found in result.metrics.hypotheses[0].results.items():
        gain = {"a": 10, "b": 20}[name]
        kept = [r for r in range(6) if not {("baseline", r), (name, r)} & failing]
        assert found["baseline"] == {"score": kept, "other": [-r for r in kept]}
        assert found["treatment"]["score"] == [r + gain for r in kept]


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ("score", {"score"}),
        (["score", "other"], {"score", "other"}),
        (None, {"score", "other"}),
        ([["score"]], {"score"}),
        (("other",), {"other"}),
    ],
)
def test_a_verifier_sees_the_metrics_that_it_names(metrics, expected):
    """One, several, or all that both conditions have."""
    (found,) = run(Hypothesis(samples, metrics)).metrics.hypotheses
    assert set(found.results["a"]["baseline"]) == expected


def test_groups_of_metrics_are_verified_one_by_one():
    """Several groups give a list of verdicts, one per group."""
    (found,) = run(Hypothesis(samples, [["score"], ["score", "other"]], ranker=len)).metrics.hypotheses
    assert [set(verdict["baseline"]) for verdict in found.results["a"]] == [{"score"}, {"score", "other"}]


@pytest.mark.parametrize("metrics", [5, [], [5], [[]], [["a"], 5], {"a": 1}, b"a"])
def test_metrics_of_the_wrong_kind_are_refused(metrics):
    """The message shows what was found."""
    with pytest.raises(DefinitionError) as caught:
        Hypothesis(samples, metrics)
    assert str(caught.value) == f"metrics must be a name, a list of names or a list of such lists, found {metrics!r}"


@pytest.mark.parametrize("what", ["verifier", "ranker"])
def test_something_that_cannot_be_called_is_refused(what):
    """Verifier and ranker are functions."""
    with pytest.raises(DefinitionError) as caught:
        Hypothesis(**{"verifier": samples, "metrics": "score", what: 5})
    assert str(caught.value) == f"the {what} of a hypothesis must be callable, found int 5"


def test_a_verifier_with_parameters():
    """`@verifier` binds parameters when it is called, and works without being called."""

    @verifier
    def higher(baseline, treatment, *, by=0):
        gain = sum(treatment["score"]) - sum(baseline["score"])
        return {"gain": gain, "accepted": gain > by}

    result = run(Hypothesis(higher(by=40), "score"), Hypothesis(higher, "score", name="second"))
    first, second = result.metrics.hypotheses
    assert first.name == "higher"
    assert first.results == {"a": {"gain": 30, "accepted": False}, "b": {"gain": 60, "accepted": True}}
    assert second.results["a"] == {"gain": 30, "accepted": True}
    assert higher({"score": [1]}, {"score": [3]}) == {"gain": 2, "accepted": True}


def test_a_hypothesis_speaks_of_the_treatments_that_it_names():
    """Other treatments are neither verified nor ranked."""
    (found,) = run(Hypothesis(samples, "score", treatments=["b"])).metrics.hypotheses
    assert list(found.results) == ["b"]
    assert found.ranking == {"best": "b", "ranked": [("b", 0.5)]}
    (found,) = run(Hypothesis(samples, "score", treatments="a")).metrics.hypotheses
    assert list(found.results) == ["a"]


def test_a_treatment_that_does_not_exist_is_recorded():
    """A misspelt treatment is an error of the hypothesis, with a suggestion, and loses nothing."""
    (found,) = run(Hypothesis(samples, "score", treatments=["a", "zz"])).metrics.hypotheses
    assert list(found.results) == ["a"]
    assert {name: str(error) for name, error in found.errors.items()} == {
        "zz": "there is no treatment 'zz'; the treatments are: 'a', 'b'. [hypothesis 'samples']"
    }


def test_a_hypothesis_without_treatments_has_no_verdict():
    """An experiment without treatments has nothing to verify."""
    (found,) = run(Hypothesis(samples, "score"), treatments=()).metrics.hypotheses
    assert (found.results, found.ranking, found.errors) == ({}, {"best": None, "ranked": []}, {})


# The order ----------------------------------------------------------------------------------------


def test_the_smallest_p_value_is_the_best():
    """Without a ranker the p-value decides; a verdict without one counts as 1."""

    def by_gain(baseline, treatment):
        return {"p_value": 1 / treatment["score"][0]}

    (found,) = run(Hypothesis(by_gain, "score")).metrics.hypotheses
    assert found.ranking == {"best": "b", "ranked": [("b", 0.05), ("a", 0.1)]}
    assert rank_by_p_value({}) == 1.0


def test_a_score_that_is_no_number_is_never_the_best():
    """NaN comes last, wherever its treatment stands in the list."""

    def undecided(baseline, treatment):
        return {"p_value": math.nan if treatment["score"][0] == 10 else 0.3}

    (found,) = run(Hypothesis(undecided, "score")).metrics.hypotheses
    assert found.ranking["best"] == "b"
    assert [name for name, _ in found.ranking["ranked"]] == ["b", "a"]


def test_a_decorated_ranker_is_a_hypothesis():
    """`@hypothesis(...)` names it after the ranker."""

    @hypothesis(verifier=samples, metrics="score")
    def most_gain(found):
        return -sum(found["treatment"]["score"])

    (found,) = run(most_gain).metrics.hypotheses
    assert (found.name, found.ranking) == ("most_gain", {"best": "b", "ranked": [("b", -63), ("a", -33)]})


def test_the_name_is_that_of_the_ranker_or_the_verifier():
    """A given name wins, then the ranker's, then the verifier's."""
    assert Hypothesis(samples, "m").name == "samples"
    assert Hypothesis(samples, "m", len).name == "len"
    assert Hypothesis(samples, "m", len, "mine").name == "mine"
    assert repr(Hypothesis(samples, "m")) == "Hypothesis('samples', metrics='m')"


# What fails ---------------------------------------------------------------------------------------


def broken(baseline, treatment):
    raise ZeroDivisionError("broken")


def test_a_verifier_that_fails_is_recorded():
    """Its error has hypothesis and condition; values and other verdicts are there."""
    result = run(Hypothesis(broken, "score", name="bad"), Hypothesis(samples, "score", name="good"))
    bad, good = result.metrics.hypotheses
    assert {name: str(error) for name, error in bad.errors.items()} == {
        name: f"the verifier 'broken' failed: ZeroDivisionError: broken [hypothesis 'bad', condition '{name}']"
        for name in ("a", "b")
    }
    assert type(bad.errors["a"].__cause__) is ZeroDivisionError
    assert bad.ranking == {"best": None, "ranked": []}
    assert set(good.results) == {"a", "b"}
    assert result.metrics.baseline["score"] == [0, 1, 2]
    assert result.errors == {}


def test_a_verifier_that_fails_for_one_treatment_leaves_the_other():
    """Each comparison stands alone."""

    def picky(baseline, treatment):
        if treatment["score"][0] == 10:
            raise ValueError("not this one")
        return {"p_value": 0.1}

    (found,) = run(Hypothesis(picky, "score")).metrics.hypotheses
    assert list(found.errors) == ["a"]
    assert found.ranking == {"best": "b", "ranked": [("b", 0.1)]}


@pytest.mark.parametrize("returned", [None, 0.5, [1], "yes"])
def test_a_verifier_that_returns_no_mapping_is_recorded(returned):
    """The message shows what a verdict looks like."""
    (found,) = run(Hypothesis(lambda baseline, treatment: returned, "score", name="h")).metrics.hypotheses
    assert found.errors["a"].message == (
        "the verifier '<lambda>' must return a mapping such as {'p_value': 0.03, 'accepted': True}, found "
        f"{type(returned).__name__}"
    )


def test_a_metric_that_was_not_recorded_is_recorded_as_an_error():
    """The message says under which condition, with a suggestion."""
    (found,) = run(Hypothesis(samples, "scores")).metrics.hypotheses
    assert str(found.errors["a"]) == (
        "metric 'scores' was not recorded under the baseline; did you mean 'score'? [hypothesis 'samples', condition 'a']"
    )


def test_a_metric_of_failed_cells_only_is_missing():
    """If every cell of a treatment failed, its comparison says so instead of inventing numbers."""
    (found,) = run(Hypothesis(samples, "score"), failing=[("a", r) for r in range(3)]).metrics.hypotheses
    assert str(found.errors["a"]) == (
        "metric 'score' was not recorded under the treatment; nothing is recorded. [hypothesis 'samples', condition 'a']"
    )
    assert list(found.results) == ["b"]


def test_a_ranker_that_fails_is_recorded():
    """The verdicts are there; the order is missing, with its reason."""

    def ranker(found):
        raise KeyError("score")

    (found,) = run(Hypothesis(samples, "score", ranker, "h")).metrics.hypotheses
    assert set(found.results) == {"a", "b"}
    assert found.ranking == {"best": None, "ranked": []}
    assert {name: str(error) for name, error in found.errors.items()} == {
        "ranker": "the ranker 'ranker' failed: KeyError: 'score' [hypothesis 'h']"
    }
    assert type(found.errors["ranker"]) is VerifierError


def test_scores_that_cannot_be_compared_are_recorded():
    """A ranker that gives a text and a number fails like one that raises."""
    scores = iter(["text", 5])
    (found,) = run(Hypothesis(samples, "score", lambda found: next(scores), "h")).metrics.hypotheses
    assert found.errors["ranker"].message.startswith("the ranker '<lambda>' failed: TypeError: ")


# In words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ({"accepted": True, "p_value": 0.01234567}, "supported (p_value = 0.01235)"),
        ({"accepted": False}, "not supported"),
        ({"significant": True, "n": 5}, "significant (n = 5)"),
        ({"significant": False}, "not significant"),
        ({"verdict": "much better", "accepted": True, "d": 0.5}, "much better (d = 0.5)"),
        ({"conclusion": "no idea"}, "no idea"),
        ({"p_value": 0.5, "samples": [1, 2]}, "p_value = 0.5"),
        ([{"accepted": True}, {"accepted": False}], "supported; not supported"),
    ],
)
def test_a_verdict_in_words(verdict, words):
    """The verdict is a short phrase with its numbers."""
    found = HypothesisResult("h", {"a": verdict}, {}, {})
    assert found.in_words("a") == words
    assert found.get_for_treatment("a") == verdict
    assert found.get_for_treatment("b") is None


def test_an_error_in_words():
    """A comparison that failed says why."""
    found = HypothesisResult("h", {}, {}, {"a": VerifierError("no metric")})
    assert found.in_words("a") == "not verified: no metric"
