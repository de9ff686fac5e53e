"""Samples that are compared belong together, and the order of treatments is there for any verdict."""

from crystallize_core import Experiment, FrozenContext, Hypothesis, Treatment, rank_by_p_value, resource_factory


def test_a_metric_that_some_replicates_lack_is_compared_where_both_have_it():
    """The k-th value of the baseline and the k-th value of the treatment are of one replicate."""
    seen = {}

    def step(data, ctx, *, skip=-1):
        if data != skip:
            ctx.record("n", data)
        return data

    def look(baseline, treatment):
        seen.update(baseline=baseline["n"], treatment=treatment["n"])
        return {"accepted": True}

    Experiment(
        lambda ctx: ctx["replicate"],
        [step],
        treatments=[Treatment("other", {"skip": 1})],
        hypotheses=[Hypothesis(look, "n")],
        replicates=4,
        autoload=False,
    ).run()
    assert seen == {"baseline": [0, 2, 3], "treatment": [0, 2, 3]}


def test_the_default_ranker_takes_the_largest_of_several_p_values():
    """Each group of metrics has to hold."""
    assert rank_by_p_value([{"p_value": 0.01}, {"p_value": 0.2}]) == 0.2
    assert rank_by_p_value({"p_value": 0.03}) == 0.03
    assert rank_by_p_value({}) == 1.0


def test_a_resource_that_reads_the_context_is_made_for_each_value_of_what_it_read():
    """A treatment never gets what was made for the baseline."""
    made = []

    def connect(ctx):
        made.append(ctx.get("server", "home"))
        return made[-1]

    def step(data, *, link):
        return data, {"link": link}

    result = Experiment(
        lambda ctx: 1,
        [step],
        initial_ctx={"link": resource_factory(connect)},
        treatments=[Treatment("away", {"server": "away"})],
        replicates=3,
        autoload=False,
    ).run()
    assert result.metrics.baseline["link"] == ["home"] * 3
    assert result.metrics.treatments["away"]["link"] == ["away"] * 3
    assert made == ["home", "away"]


def test_a_resource_is_made_again_where_a_value_cannot_be_compared():
    """Doubt costs time, never a wrong resource."""

    class Odd:
        def __eq__(self, other):
            raise RuntimeError("no")

        __hash__ = None

    made = []
    factory = resource_factory(lambda ctx: made.append(ctx["odd"]) or len(made))
    found = [FrozenContext({"odd": Odd(), "thing": factory})["thing"] for _ in range(2)]
    assert found == [1, 2]
