"""Artifacts of steps: named bytes that cannot leave their folder, written once per step."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crystallize_core import Artifact, ArtifactError, BasePlugin, Experiment, FrozenContext, Treatment


def made(*steps: Any, **parts: Any) -> Experiment:
    return Experiment(**{"datasource": lambda ctx: 1, "pipeline": list(steps), "autoload": False, "name": "e"} | parts)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../../x", "has an empty part, '.' or '..'"),
        ("a/../b", "has an empty part, '.' or '..'"),
        ("..", "has an empty part, '.' or '..'"),
        ("./a", "has an empty part, '.' or '..'"),
        ("", "has an empty part, '.' or '..'"),
        ("a//b", "has an empty part, '.' or '..'"),
        ("a/", "has an empty part, '.' or '..'"),
        ("/etc/x", "is absolute"),
        ("C:x", "is absolute"),
        ("a\\b", "has a backslash or a control character"),
        ("a\0b", "has a backslash or a control character"),
        ("a\nb", "has a backslash or a control character"),
        ("x" * 241, "has a part of more than 240 bytes"),
    ],
)
def test_a_name_that_could_leave_its_folder_fails_the_step(name, problem):
    """The cell fails with the reason; nothing of the step is kept, and other cells have their artifacts."""

    def write(data, ctx):
        ctx.artifacts.add("good.txt", "text")
        if ctx["condition"] == "bad":
            ctx.artifacts.add(name, b"")
        return data

    result = made(write, treatments=[Treatment("bad", {})]).run()
    assert str(result.errors["bad_rep_0"].__cause__) == (
        f"artifact name {name!r} {problem}; use a relative name such as 'plots/curve.png'"
    )
    assert [(artifact.condition, artifact.name) for artifact in result.artifacts] == [("baseline", "good.txt")]


def test_a_name_is_a_text():
    """Numbers and paths are no names."""
    with pytest.raises(ArtifactError) as caught:
        FrozenContext().artifacts.add(5, b"")
    assert str(caught.value) == "the name of an artifact must be a str, found int 5"


def test_a_name_is_written_once_per_step():
    """A second artifact of the name is refused; another step may use it."""

    def write(data, ctx):
        ctx.artifacts.add("a.txt", str(data))
        return data + 1

    def twice(data, ctx):
        ctx.artifacts.add("a.txt", "1")
        ctx.artifacts.add("a.txt", "2")

    assert [(a.step, a.read()) for a in made(write, write).run().artifacts] == [("write", b"1"), ("write_2", b"2")]
    error = made(twice).debug().error.__cause__
    assert str(error) == "artifact 'a.txt' was written already in this step; names are written once [step 'twice']"


@pytest.mark.parametrize("data", [5, None, ["a"], {"a": 1}])
def test_content_is_bytes_or_text(data):
    """Anything else needs a writer."""
    with pytest.raises(ArtifactError) as caught:
        FrozenContext().artifacts.add("a", data)
    assert str(caught.value) == (
        f"artifact 'a' must be bytes or str, found {type(data).__name__}; give Artifact a writer="
    )


def test_content_is_taken_as_it_is_at_that_time():
    """Changing a buffer after it was written changes nothing; text is UTF-8."""
    ctx, buffer = FrozenContext(), bytearray(b"abc")
    ctx.artifacts.add("a", buffer)
    ctx.artifacts.add("b", memoryview(buffer)[:2])
    ctx.artifacts.add("c", "ä")
    buffer[0] = 0
    assert [artifact.read() for artifact in ctx.artifacts] == [b"abc", b"ab", "ä".encode()]
    assert (ctx.artifacts["c"].size, len(ctx.artifacts)) == (2, 3)
    with pytest.raises(ArtifactError, match="no artifact 'd' was written here"):
        ctx.artifacts["d"]


def test_equal_content_has_an_equal_digest():
    """The digest is of the content alone."""
    ctx = FrozenContext()
    for name, content in (("a", b"x"), ("b", "x"), ("c", b"y")):
        ctx.artifacts.add(name, content)
    a, b, c = (artifact.digest for artifact in ctx.artifacts)
    assert a == b != c
    assert len(a) == 64


def test_a_step_sees_its_own_artifacts_only():
    """`ctx.artifacts` in a step does not show those of other steps."""

    def first(data, ctx):
        ctx.artifacts.add("a", b"")
        return [artifact.name for artifact in ctx.artifacts]

    def second(data, ctx):
        return data, [artifact.name for artifact in ctx.artifacts]

    assert made(first, second).apply() == (["a"], [])


def test_a_declared_output_knows_its_step():
    """`Experiment(outputs=[...])`: the parameter of its name writes into the step that took it."""

    def train(data, model_json, ctx):
        model_json.write({"weights": data})
        return data

    output = Artifact("model.json", writer=lambda value: json.dumps(value).encode())
    result = made(train, outputs=[output], treatments=[Treatment("a", {})], replicates=2).run()
    assert [(a.replicate, a.condition, a.step, a.name) for a in result.artifacts] == [
        (0, "baseline", "train", "model.json"),
        (0, "a", "train", "model.json"),
        (1, "baseline", "train", "model.json"),
        (1, "a", "train", "model.json"),
    ]
    assert json.loads(result.get_artifact("model.json")) == {"weights": 1}


def test_an_artifact_writes_into_a_given_context():
    """`artifact.write(data, ctx)` needs no declaration; without a context it says what to do."""
    artifact, ctx = Artifact("a/b.txt"), FrozenContext()
    artifact.write("text", ctx)
    assert ctx.artifacts["a/b.txt"].read() == b"text"
    with pytest.raises(ArtifactError) as caught:
        artifact.write("text")
    assert str(caught.value) == (
        "artifact 'a/b.txt' does not know its step: list it in Experiment(outputs=[...]) and take it as the parameter "
        "'a_b_txt', or pass the context: artifact.write(data, ctx)"
    )


def test_an_artifact_loads_what_was_stored(tmp_path):
    """By default its bytes; a loader makes a value of the path."""
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert Artifact("a.json").load(path) == b'{"a": 1}'
    assert Artifact("a.json", loader=lambda path: json.loads(path.read_text())).load(str(path)) == {"a": 1}


def test_a_stored_artifact_is_read_from_its_file_and_checked(tmp_path):
    """A plugin that stores artifacts lets go of the bytes; a file that was changed is not taken for the artifact."""

    class Stores(BasePlugin):
        def replicate_done(self, experiment, replicate, outcome):
            for cell in outcome.cells:
                for artifact in cell.artifacts:
                    path = tmp_path / artifact.name
                    path.write_bytes(artifact.read())
                    artifact.stored_at(str(path))

    result = made(lambda data, ctx: ctx.artifacts.add("a.txt", "text"), plugins=[Stores()]).run()
    (artifact,) = result.artifacts
    assert (artifact.uri, artifact.record.data, artifact.read()) == (str(tmp_path / "a.txt"), None, b"text")
    (tmp_path / "a.txt").write_text("changed")
    with pytest.raises(ArtifactError, match="is not what the run wrote: its digest differs"):
        artifact.read()
    (tmp_path / "a.txt").unlink()
    with pytest.raises(ArtifactError, match="cannot be read from"):
        artifact.read()


def test_an_artifact_that_was_not_kept_says_so():
    """A result that was read back from JSON has no bytes of artifacts that no plugin stored."""
    from crystallize_core import Result

    result = made(lambda data, ctx: ctx.artifacts.add("a.txt", "text")).run()
    back = Result.from_json(result.to_json())
    with pytest.raises(ArtifactError) as caught:
        back.artifacts.find("a.txt").read()
    assert str(caught.value) == "artifact 'a.txt' was not kept: no plugin stored it [step '<lambda>']"
