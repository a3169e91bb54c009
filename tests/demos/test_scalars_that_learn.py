"""The GPT, the LSTM and the bundle adjustment: right by other people's formulas, and they learn."""

import math
import random
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.demos import bundle, gpt, lstm

STEP = 1e-30


def along(function, numbers, direction):
    """Return the derivative of *function* along *direction*, by the complex step."""
    return function(numbers + 1j * STEP * direction).imag / STEP


def written_in_matrices(vector, tokens, following):
    """Return the GPT's loss from its parameters in one vector, as matrix code would have it."""
    characters, width = len(gpt.ALPHABET), gpt.WIDTH
    shapes = [(characters, width), (gpt.BLOCK, width), *[(width, width)] * 4]
    shapes += [(4 * width, width), (width, 4 * width), (characters, width)]
    ends = np.cumsum([a * b for a, b in shapes])
    embedding, place, query, key, value, mix, wide, narrow, out = (
        part.reshape(shape) for part, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True)
    )

    def normal(x):
        return x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5)

    x = embedding[tokens] + place
    seen = normal(x)
    heads = []
    for head in np.split(np.arange(width), gpt.HEADS):
        scores = (seen @ query[head].T) @ (seen @ key[head].T).T / math.sqrt(len(head))
        e = np.tril(np.exp(scores))
        heads.append(e / e.sum(axis=1, keepdims=True) @ (seen @ value[head].T))
    x = x + np.hstack(heads) @ mix.T
    z = normal(x) @ wide.T
    x = x + np.where(z.real > 0, z, 0) @ narrow.T
    logits = normal(x) @ out.T
    chosen = logits[np.arange(len(tokens)), following]
    return (np.log(np.exp(logits).sum(axis=1)) - chosen).mean()


def test_the_gpt_computes_what_matrix_code_does_and_so_does_its_gradient():
    weights, rng = gpt.Weights(seed=3), np.random.default_rng(3)
    tokens, following = gpt.TOKENS[40 : 40 + gpt.BLOCK], gpt.TOKENS[41 : 41 + gpt.BLOCK]
    loss = gpt.surprise(weights, tokens, following)
    loss.backward()
    numbers = np.array([v.data for v in weights.all()])
    gradient = np.array([v.grad for v in weights.all()])

    def expected(vector):
        return written_in_matrices(vector, tokens, following)

    assert loss.data == pytest.approx(expected(numbers), rel=1e-12)
    for direction in rng.normal(size=(3, len(numbers))):
        slope = along(expected, numbers, direction)
        assert gradient @ direction == pytest.approx(slope, rel=1e-11)


def test_the_gpt_does_not_look_ahead():
    weights = gpt.Weights()
    tokens = gpt.TOKENS[100 : 100 + gpt.BLOCK]
    changed = [*tokens[:-1], (tokens[-1] + 1) % len(gpt.ALPHABET)]
    with cr.no_grad():
        one, other = gpt.gpt(weights, tokens), gpt.gpt(weights, changed)
    same = [[z.data for z in a] == [z.data for z in b] for a, b in zip(one, other, strict=True)]
    assert same == [True] * (gpt.BLOCK - 1) + [False]


def test_the_gpt_is_the_same_at_four_speeds(monkeypatch, capsys):
    monkeypatch.setattr(gpt, "BATCH", 2)
    gpt.four_speeds(seed=1)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert "the first losses" in heading
    assert len(rows) == (4 if cr.backend == "native" else 3)
    losses = [[float(x) for x in row.split()[-3:]] for row in rows]
    assert len(losses[0]) == 3
    assert losses[0][0] > losses[0][2]  # it learns
    for row in losses:
        assert row == pytest.approx(losses[0], abs=2e-12)


def test_a_gpt_that_differs_is_noticed(monkeypatch):
    monkeypatch.setattr(gpt, "BATCH", 2)
    monkeypatch.setattr(gpt, "in_pure_python", lambda seed: gpt.measured(3, seed, gpt.node_by_node))
    compiled = gpt.compiled

    def off(weights, threads=1):
        backward = compiled(weights, threads)
        return lambda X, Y: backward(X, Y) + 1e-6

    monkeypatch.setattr(gpt, "compiled", off)
    with pytest.raises(AssertionError):
        gpt.four_speeds(seed=1)


def test_the_gpt_learns_and_recites_characters_of_the_poem(monkeypatch, capsys):
    recite = gpt.sample
    monkeypatch.setattr(gpt, "four_speeds", lambda seed: None)
    monkeypatch.setattr(gpt, "sample", lambda weights, length, seed: recite(weights, 8, seed))
    gpt.main(epochs=6)
    out = capsys.readouterr().out
    losses = [float(x) for x in re.findall(r"loss (\d\.\d+)", out)]
    assert losses[0] == pytest.approx(math.log(len(gpt.ALPHABET)), abs=0.1)
    assert losses[-1] < 3.2
    weights = gpt.Weights(0)
    assert gpt.sample(weights, 8, seed=5) == gpt.sample(weights, 8, seed=5)
    assert set(gpt.sample(weights, 8, seed=5)) <= set(gpt.TEXT)


def lstm_in_matrices(vector, sequence, total):
    """Return the squared error of the LSTM from its parameters in one vector."""
    units = lstm.UNITS
    rows = vector[: -1 - units].reshape(4 * units, 3 + units)
    h = c = np.zeros(units)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for seen in sequence:
        write, keep, read, candidate = np.split(rows @ np.concatenate([[1.0], seen, h]), 4)
        c = sigmoid(keep) * c + sigmoid(write) * np.tanh(candidate)
        h = sigmoid(read) * np.tanh(c)
    return (vector[-1 - units] + vector[-units:] @ h - total) ** 2


def test_the_lstm_computes_what_matrix_code_does_and_so_does_its_gradient():
    network = lstm.LSTM(random.Random(4))
    (sequence,), (total,) = lstm.batch(random.Random(5), 12, 1)
    error = cr.square(network.answer(sequence) - total)
    error.backward()
    numbers = np.array([v.data for v in network.parameters()])
    gradient = np.array([v.grad for v in network.parameters()])

    def expected(vector):
        return lstm_in_matrices(vector, sequence, total)

    assert error.data == pytest.approx(expected(numbers), rel=1e-12)
    for direction in np.random.default_rng(6).normal(size=(3, len(numbers))):
        slope = along(expected, numbers, direction)
        assert gradient @ direction == pytest.approx(slope, rel=1e-11)


def test_the_adding_problem_is_what_it_says():
    X, Y = lstm.batch(random.Random(0), 10, 50)
    for sequence, total in zip(X, Y, strict=True):
        marked = [x for x, mark in sequence if mark]
        assert len(marked) == 2
        assert total == sum(marked)


def test_the_lstm_learns_and_its_program_agrees(capsys):
    lstm.main(epochs=500)
    out = capsys.readouterr().out
    errors = [float(x) for x in re.findall(r"step.*error (\d\.\d+)", out)]
    assert errors[-1] < 0.1 < 1 / 6 < errors[0]
    graph, program = re.search(r"node by node: (\S+) in.*\n.*a program: (\S+) in", out).groups()
    assert float(graph) == pytest.approx(float(program), abs=2e-12)
    assert float(re.search(r"at most (\S+) apart", out).group(1)) < 1e-12


def test_a_quaternion_turns_as_its_matrix_does():
    w, x, y, z = q = np.array([0.3, -1.2, 0.5, 2.0])
    matrix = np.array(  # the textbook's, for a quaternion of length 1
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    length = q @ q
    matrix = np.eye(3) + (matrix - np.eye(3)) / length
    point = np.array([0.7, -0.4, 1.9])
    assert np.allclose(bundle.turned(list(q), list(point)), matrix @ point, rtol=1e-14)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)


@pytest.mark.parametrize("seed", [0, 1])
def test_bundle_adjustment_leaves_only_the_noise(seed, capsys):
    bundle.main(seed=seed)
    out = capsys.readouterr().out
    steps = re.findall(r"^ +\d+ +(\S+) +(\S+)$", out, flags=re.MULTILINE)
    expected = float(re.search(r"about (\S+) pixels", out).group(1))
    assert float(steps[0][0]) > 20
    # 480 - 149 degrees of freedom: the root mean square varies by 4 %.
    assert float(steps[-1][0]) == pytest.approx(expected, rel=0.12)
    assert float(steps[-1][1]) < 0.02 < float(steps[0][1])
    assert len(steps) < 20  # Gauss-Newton close to the end: it stops because it has arrived
