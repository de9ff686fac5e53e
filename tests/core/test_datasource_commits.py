"""What a datasource writes is committed with its data, whether it is awaited or not."""

import asyncio

import pytest

from crystallize_core import DefinitionError, Experiment, Treatment


def use(data, ctx):
    return data, {"used": ctx["offset"] + data}


def test_a_datasource_adds_to_the_context():
    """Steps read what the datasource added."""

    def source(ctx):
        ctx.add("offset", 10)
        return 1

    result = Experiment(source, [use], autoload=False).run()
    assert result.metrics.baseline.metrics == {"used": [11]}


def test_an_async_datasource_adds_after_it_waited():
    """What is added behind an await is not lost."""

    async def source(ctx):
        await asyncio.sleep(0)
        ctx.add("offset", 20)
        return 1

    result = Experiment(source, [use], autoload=False).run()
    assert result.metrics.baseline.metrics == {"used": [21]}


def test_an_async_treatment_is_refused():
    """Nobody would await it, so that it would silently change nothing."""

    async def change(ctx):
        ctx.add("offset", 1)

    with pytest.raises(DefinitionError) as caught:
        Treatment("late", change)
    assert str(caught.value) == (
        "treatment 'late' is `async def`; a treatment is a plain function, await things in the datasource"
    )
