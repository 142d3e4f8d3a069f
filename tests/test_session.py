"""Graphs and sessions: fetches, feeds, variables, text, errors."""

from __future__ import annotations

import numpy as np
import pytest

import jitflow as jf
from jitflow.errors import ArgumentError, DTypeError, ShapeError
from jitflow.session import GraphError

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, -0.0]], np.float32)


def regression():
    """``(graph, x, y, loss, w)`` with a step of gradient descent recorded."""
    w = jf.Variable(np.zeros(3, np.float32), name="w")
    with jf.Graph("regression") as g:
        x = jf.placeholder("float32", ["B", 3], "x")
        y = jf.placeholder("float32", ["B"], "y")
        with jf.GradientTape() as tape:
            loss = jf.mean((x @ w - y) ** 2)
        w.assign_sub(0.1 * tape.gradient(loss, w))
    return g, x, y, loss, w


def test_nested_fetches_and_feeds_by_tensor_or_name() -> None:
    with jf.Graph() as g:
        x = jf.placeholder("float32", [None, 3], "x")
        total = jf.sum(x, axis=1)
        double = x * 2
    session = jf.Session(g)
    found = session.run({"a": [total, x], "b": (double,)}, {x: X})
    np.testing.assert_array_equal(found["a"][0], X.sum(1))
    np.testing.assert_array_equal(found["a"][1], X)
    np.testing.assert_array_equal(found["b"][0], X * 2)
    by_name = session.run(double, {"x": jf.asarray(X[:1])})
    np.testing.assert_array_equal(by_name, X[:1] * 2)
    assert isinstance(by_name, np.ndarray)


def test_only_what_is_fetched_is_needed() -> None:
    with jf.Graph() as g:
        x = jf.placeholder("float32", [3], "x")
        y = jf.placeholder("float32", [3], "y")
        first = jf.exp(x)
        both = first + y
    session = jf.Session(g)
    np.testing.assert_allclose(session.run(first, {x: X[0]}), np.exp(X[0]), rtol=1e-6)
    assert "add" not in g.as_text([first])
    assert "add" in g.as_text([both])
    with pytest.raises(GraphError, match="'y' needs a value"):
        session.run(both, {x: X[0]})


def test_programs_are_compiled_once_per_set_of_fetches() -> None:
    with jf.Graph() as g:
        x = jf.placeholder("float32", [None, 3], "x")
        y = x + 1
    session = jf.Session(g)
    for rows in (1, 2, 1):
        session.run([y, y], {x: X[:rows]})
    session.run(y, {x: X})
    assert "2 programs" in repr(session)


def test_updates_are_carried_out_when_fetched() -> None:
    g, x, y, loss, w = regression()
    session = jf.Session(g)
    target = np.array([1.0, -1.0], np.float32)
    feed = {x: X, y: target}
    reference = np.zeros(3, np.float64)
    for _ in range(4):
        error = X @ reference - target
        value, nothing, before = session.run((loss, g.updates, w), feed)
        assert nothing is None
        np.testing.assert_allclose(value, np.mean(error**2), rtol=1e-4)
        np.testing.assert_allclose(before, reference, rtol=1e-4, atol=1e-6)
        reference -= 0.1 * (2 / 2) * X.T @ error
        np.testing.assert_allclose(w.numpy(), reference, rtol=1e-4, atol=1e-6)
    kept = w.numpy()
    session.run(loss, feed)
    np.testing.assert_array_equal(w.numpy(), kept)


def test_variables_assigned_outside_are_seen() -> None:
    g, x, y, loss, w = regression()
    session = jf.Session(g)
    w.assign(np.ones(3, np.float32))
    found = session.run(loss, {x: X, y: X.sum(1)})
    assert found == pytest.approx(0, abs=1e-10)


def test_a_graph_can_be_entered_again_and_create_variables() -> None:
    with jf.Graph() as g:
        x = jf.placeholder("float32", [3], "x")
        v = jf.Variable(np.full(3, 2.0, np.float32))
        y = x * v
    with g:
        z = jf.cond(jf.sum(y) > 0, lambda: y + 1, lambda: -y)
    for sign in (1, -1):
        found = jf.Session(g).run(z, {x: sign * X[0]})
        expected = 2 * X[0] + 1 if sign > 0 else 2 * X[0]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.0, 1e-45])
def test_nasty_values_and_empty_feeds(value: float) -> None:
    with jf.Graph() as g:
        x = jf.placeholder("float32", [None], "x")
        y = jf.where(x > 0, x, -x)
    session = jf.Session(g)
    given = np.array([value], np.float32)
    expected = np.where(given > 0, given, -given)
    np.testing.assert_array_equal(session.run(y, {x: given}), expected)
    assert session.run(y, {x: np.zeros(0, np.float32)}).shape == (0,)


@pytest.mark.parametrize("emitter", ["llvm", "interpreter"])
def test_text_and_back(emitter: str) -> None:
    g, _, _, loss, w = regression()
    text = g.as_text([loss])
    again = jf.Graph.from_text(text)
    assert again.as_text() == text
    feed = {"x": X, "y": X[:, 0]}
    expected = jf.Session(g).run(loss, feed)
    (name,) = set(again.placeholders) - {"x", "y"}
    session = jf.Session(again, emitter=emitter)
    found = session.run(list(again.outputs), {**feed, name: w.numpy()})
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_the_whole_graph_as_text_holds_the_updates() -> None:
    g, *_ = regression()
    text = g.as_text()
    assert text.startswith("graph regression(")
    assert "B" in text


# -- errors ----------------------------------------------------------------------------


def simple():
    with jf.Graph() as g:
        x = jf.placeholder("float32", ["B", 3], "x")
        y = jf.placeholder("float32", ["B"], "y")
        z = x * jf.expand_dims(y, axis=1)
    return jf.Session(g), z


@pytest.mark.parametrize(
    ("feed", "error", "match"),
    [
        ({"x": X[0], "y": X[:, 0]}, ShapeError, "'x' has shape"),
        ({"x": X[:, :2], "y": X[:, 0]}, ShapeError, "'x' has shape"),
        ({"x": X, "y": X[:1, 0]}, ShapeError, "'y' has shape"),
        ({"x": X + 1j, "y": X[:, 0]}, DTypeError, "'x' is float32"),
        ({"w": X}, GraphError, "placeholders are: x, y"),
        ({"x": X}, GraphError, "'y' needs a value"),
    ],
)
def test_wrong_feeds(feed, error, match) -> None:
    session, z = simple()
    with pytest.raises(error, match=match):
        session.run(z, feed)


def test_foreign_tensors() -> None:
    session, z = simple()
    other, _ = simple()
    for foreign in (jf.asarray(1.0), jf.Variable(1.0), "nothing", None):
        with pytest.raises(GraphError, match="is not of the graph"):
            session.run([z, foreign], {})
    with pytest.raises(GraphError, match="is not of the graph"):
        other.run(z, {})
    with pytest.raises(GraphError, match="is not a placeholder"):
        session.run(z, {z: X})


def test_use_without_a_graph() -> None:
    with pytest.raises(ArgumentError, match="no graph records"):
        jf.placeholder()
    with pytest.raises(ArgumentError, match="which graph"):
        jf.Session()
    with jf.Graph() as g:
        jf.placeholder(name="x")
        with pytest.raises(GraphError, match="already"):
            jf.placeholder(name="x")
        with pytest.raises(GraphError, match="already"):
            g.__enter__()
        with pytest.raises(GraphError, match="inside"):
            jf.Graph("inner").__enter__()
        assert jf.Session().graph is g


def test_values_are_not_known_while_recording() -> None:
    with jf.Graph():
        x = jf.placeholder("float32", [], "x")
        with pytest.raises(jf.errors.TracerError, match=r"jf\.cond"):
            bool(x > 0)
