"""`context(...)`: the parameters of a pipeline, and what steps get of them."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from crystallize_core import (
    Context,
    ContextKeyError,
    ContextMutationError,
    DefinitionError,
    Pipeline,
    context,
    step,
)
from crystallize_core.parameters import is_secret


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No project, no installed plugin and no folder of the user takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path))


@step(cache=False)
def train(rate, epochs=1):
    return rate, epochs


# Looking -------------------------------------------------------------------------------------------------


def test_a_parameter_is_found_in_every_way():
    """As an attribute, an item, with `get` and `in`, and by going through all of them."""
    ctx = context(rate=0.1, epochs=3)
    assert (ctx.rate, ctx["epochs"], ctx.get("rate"), ctx.get("size", 7)) == (0.1, 3, 0.1, 7)
    assert ("rate" in ctx, "size" in ctx, len(ctx), list(ctx)) == (True, False, 2, ["rate", "epochs"])
    assert (list(ctx.keys()), list(ctx.items())) == (["rate", "epochs"], [("rate", 0.1), ("epochs", 3)])
    assert ctx == {"rate": 0.1, "epochs": 3} == ctx.to_dict()


def test_none_is_a_parameter():
    """It is there, and `get` does not put its default in its place."""
    ctx = context(rate=None)
    assert (ctx.rate, ctx.get("rate", 5), "rate" in ctx) == (None, None, True)


def test_names_that_are_no_identifiers_are_given_as_a_mapping():
    """Both ways together; the keywords win."""
    assert context({"data/path": "x", "rate": 1}, rate=2).to_dict() == {"data/path": "x", "rate": 2}


@pytest.mark.parametrize("look", [lambda ctx: ctx["lerning_rate"], lambda ctx: ctx.lerning_rate])
def test_a_parameter_that_is_not_there_says_what_there_is(look):
    """A `KeyError` for items and an `AttributeError` for attributes."""
    with pytest.raises((ContextKeyError, AttributeError)) as caught:
        look(context(learning_rate=1))
    assert str(caught.value) == "the context has no 'lerning_rate'; did you mean 'learning_rate'?"
    assert not hasattr(context(a=1), "b")


# Changing ------------------------------------------------------------------------------------------------


def test_update_sets_old_and_new_parameters():
    """By keyword, or as a mapping."""
    ctx = context(rate=1)
    ctx.update(rate=2, epochs=3)
    ctx.update({"a/b": 4}, size=5)
    assert ctx.to_dict() == {"rate": 2, "epochs": 3, "a/b": 4, "size": 5}


def test_a_context_inherits_at_any_depth():
    """It sees what its parents have, also what is set there later, and changes nothing of theirs."""
    base = context(rate=1, epochs=1)
    middle = base.inherit(epochs=2)
    top = middle.inherit(size=3).inherit(rate=4)
    base.update(late=5)
    middle.update(epochs=6)
    assert top.to_dict() == {"rate": 4, "epochs": 6, "late": 5, "size": 3}
    assert (base.to_dict(), middle.to_dict()) == (
        {"rate": 1, "epochs": 1, "late": 5},
        {"rate": 1, "epochs": 6, "late": 5},
    )
    assert (top.rate, top["late"], top.get("epochs"), "size" in base, len(top)) == (4, 5, 6, False, 4)


def test_what_was_given_is_copied():
    """Neither the mapping that it was made of nor what `to_dict` returns is the context itself."""
    given = {"rate": 1}
    ctx = context(given)
    ctx.update(rate=2)
    ctx.to_dict()["rate"] = 3
    given["rate"] = 4
    assert (ctx.rate, given) == (2, {"rate": 4})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({1: 2}, "the names of context parameters must be non-empty text, found 1"),
        ({"": 2}, "the names of context parameters must be non-empty text, found ''"),
    ],
)
def test_names_are_text(values, message):
    """At the beginning and in `update`."""
    for refused in (context, context(a=1).update):
        with pytest.raises(DefinitionError) as caught:
            refused(values)
        assert str(caught.value) == message


def test_assignment_is_refused_with_what_to_write():
    """It would look like an attribute that nobody is given."""
    ctx = context(rate=1)
    with pytest.raises(ContextMutationError) as caught:
        ctx.rate = 2
    assert str(caught.value) == "a context is not assigned to (context.rate = ...); write context.update(rate=...)"
    assert ctx.rate == 1


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda ctx: pickle.loads(pickle.dumps(ctx))])
def test_a_copy_has_all_parameters(again):
    """With those of its parents."""
    found = again(context(rate=1).inherit(epochs=[2]))
    assert (type(found), found.to_dict()) == (Context, {"rate": 1, "epochs": [2]})


# What steps get ------------------------------------------------------------------------------------------


def test_steps_get_parameters_by_exact_name():
    """Declared or not; what a run is given beats what the pipeline has, for that run."""
    pipeline = Pipeline([train], context=context(rate=1, Epochs=5))
    assert [
        pipeline.run()["train"],
        pipeline.run(context={"rate": 2, "epochs": 3})["train"],
        pipeline.run(context=context(rate=4))["train"],
        pipeline.run()["train"],
    ] == [(1, 1), (2, 3), (4, 1), (1, 1)]
    assert pipeline.context.to_dict() == {"rate": 1, "Epochs": 5}


def test_what_is_set_between_runs_counts():
    """A pipeline keeps the context that it was given; an inherited one sees its parent."""
    base = context(rate=1)
    pipeline = Pipeline([train], context=base.inherit(epochs=2))
    before = pipeline.run()["train"]
    base.update(rate=3)
    assert (before, pipeline.run()["train"]) == ((1, 2), (3, 2))


@pytest.mark.parametrize("given", [{"rate": 1}, context(rate=1), context(rate=1).inherit()])
def test_a_pipeline_takes_any_mapping(given):
    """Parameters may be given as they are at hand."""
    assert Pipeline([train], context=given).run()["train"] == (1, 1)


def test_a_chain_that_is_given_data_gets_them_too():
    """Under what the context of that run has already."""

    def scale(data, *, factor):
        return data * factor

    assert Pipeline([scale], context={"factor": 3}).run(2) == 6


def test_a_step_cannot_change_the_context():
    """It gets a view; the value that it changed is its own."""

    @step(cache=False)
    def change(context, values):
        values.append(2)
        context["values"].append(3)
        inner = context.inherit(more=1)
        return inner.more, list(context), context.get("none", 4)

    @step(cache=False)
    def update(context):
        context.update(rate=1)

    result = Pipeline([change, update], context={"values": [1]}).run()
    assert result["change"] == (1, ["values"], 4)
    assert result.context == {"values": [1]}
    assert result.step_results["update"].error == (
        "ContextMutationError: a step cannot change the context (it sets 'rate'); return the value, or add a new key: "
        "ctx.add [step 'update']"
    )


def test_the_parameters_of_a_step_are_those_of_the_pipeline():
    """What the run itself knows can be asked for, and is not among them."""

    @step(cache=False)
    def look(context):
        return dict(context), len(context), context["replicate"], "condition" in context

    assert Pipeline([look], context={"rate": 1}).run()["look"] == ({"rate": 1}, 1, 0, True)


def test_a_cached_step_depends_on_the_parameters_that_it_got():
    """Injected, or read through `context`; others make no difference."""

    @step
    def injected(rate):
        return rate

    @step
    def read(context):
        return context.get("rate")

    pipeline = Pipeline([injected, read])
    states = [
        [found.state for found in pipeline.run(context=values).step_results.values()]
        for values in ({"rate": 1, "other": 1}, {"rate": 1, "other": 2}, {"rate": 2, "other": 2})
    ]
    assert states == [["ok", "ok"], ["cached", "cached"], ["ok", "ok"]]


# What is shown and stored --------------------------------------------------------------------------------


class Odd:
    def __repr__(self):
        return "odd"


def test_values_need_not_be_json():
    """They are stored by their text where JSON has no form for them."""
    result = Pipeline([train], context={"rate": Odd(), "size": {1, 2}, "nothing": float("nan")}).run()
    stored = json.loads(json.dumps(result.to_dict()))["context"]
    assert stored["rate"]["$opaque"]["text"] == "odd"
    assert list(stored) == ["rate", "size", "nothing"]


SECRETS: dict[str, Any] = {
    "api_key": "hunter2",
    "dbPassword": "hunter2",
    "db": {"user": "me", "password": "hunter2", "pool": [{"auth_token": "hunter2"}]},
}


def test_secrets_are_masked_wherever_they_would_be_shown(capsys):
    """In the text of a context, in what a result stores, and while debugging; also inside of mappings and lists."""

    @step(cache=False)
    def login(api_key, db):
        return {"token": api_key}

    ctx = context(SECRETS)
    assert repr(ctx) == (
        "context(api_key=***, dbPassword=***, db={'user': 'me', 'password': '***', 'pool': [{'auth_token': '***'}]})"
    )
    result = Pipeline([login], context=ctx).run(debug=True)
    stored = json.dumps(result.to_dict())
    assert result["login"] == {"token": "hunter2"}
    assert "hunter2" not in stored + repr(result) + str(result) + capsys.readouterr().err
    assert json.loads(stored)["context"] == {
        "api_key": "***",
        "dbPassword": "***",
        "db": {"user": "me", "password": "***", "pool": [{"auth_token": "***"}]},
    }


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("api_key", True), ("API_KEY", True), ("apikey", True), ("openaiApiKey", True), ("db_password", True),
        ("password2", True), ("secret", True), ("token", True), ("aws-secret-access-key", True), ("auth", True),
        ("tokens", False), ("tokenizer", False), ("author", False), ("key", False), ("rate", False),
        ("secretary", False),
    ],
)  # fmt: skip
def test_which_names_are_secrets(name, is_one):
    """A word of the name, in any spelling; not a part of a word."""
    assert is_secret(name) is is_one


def test_a_value_that_contains_itself_is_masked():
    """Nobody knows where it would end."""
    endless: dict[str, Any] = {"password": "hunter2"}
    endless["self"] = endless
    assert repr(context(a=endless)) == "context(a='***')"
