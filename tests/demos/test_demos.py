"""The demos print what they promise, and are what ``chainrule demo`` offers."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import cli, demos, nn
from chainrule.demos import chain, lift, mazur, micrograd, moons, xor

from .. import children

ROOM = Path(demos.__file__).parent
AT_THE_TOP = Path(__file__).parents[2] / "demos"
OPTIONS = {"out", "epochs", "seed", "quiet", "markdown", "theme", "workers"}


def test_every_module_here_is_offered_and_nothing_else():
    modules = {path.stem for path in ROOM.glob("*.py") if not path.stem.startswith("_")}
    assert modules == set(demos.NAMES)
    assert demos.NAMES[0] == "digits"


@pytest.mark.parametrize("name", demos.NAMES)
def test_a_demo_has_a_main_whose_parameters_are_options_with_defaults(name):
    parameters = inspect.signature(
        importlib.import_module(f"chainrule.demos.{name}").main
    ).parameters
    assert parameters.keys() <= OPTIONS
    assert all(p.default is not inspect.Parameter.empty for p in parameters.values())


@pytest.mark.skipif(not AT_THE_TOP.is_dir(), reason="installed from a wheel: not a checkout")
def test_a_demo_at_the_top_of_a_checkout_runs_as_a_script():
    done = children.run("-W", "error", AT_THE_TOP / "micrograd.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "24.70408163265306" in done.stdout


def test_without_matplotlib_a_demo_that_draws_says_what_to_install(tmp_path):
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from chainrule import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    done = children.run("-c", script, "demo", "moons", "--out", tmp_path)
    assert done.returncode == 2
    assert "pip install 'chainrule[demo]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_micrograd_gives_the_published_numbers_to_the_last_digit(capsys):
    assert cli.main(["demo", "micrograd"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(micrograd.PUBLISHED)
    assert all(abs(float(line.split()[-1])) < 1e-12 for line in lines)


# --- mazur ---------------------------------------------------------------------------------------


def test_mazur_agrees_with_every_published_number_but_the_last():
    ours = mazur.results()
    assert ours.keys() == mazur.PUBLISHED.keys()
    for name, published in mazur.PUBLISHED.items():
        if name != "E after":
            assert ours[name] == pytest.approx(published, abs=6e-10 if "w" not in name else 5e-9)
    assert ours["E after"] == pytest.approx(0.29102777369359933, rel=1e-14)


def test_mazur_agrees_with_numbers_recomputed_elsewhere():
    network = mazur.Network(mazur.WEIGHTS)
    network.error.backward()
    gradients = [
        .000438567734, .000877135469, .000497712735, .000995425471,
        .082167040564, .082667627848, -.022602540477, -.022740242216,
    ]  # fmt: skip
    assert [w.grad for w in network.w] == pytest.approx(gradients, abs=1e-12)
    assert [h.grad for h in network.net_h] == pytest.approx([0.008771355, 0.009954255], abs=1e-9)


def test_mazur_finds_out_where_the_published_last_error_comes_from(capsys):
    network = mazur.Network(mazur.WEIGHTS)
    network.error.backward()
    wrong = mazur.Network(mazur.step_as_published(network)).error.data
    assert wrong == pytest.approx(mazur.PUBLISHED["E after"], abs=5e-10)
    mazur.main()
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines() if "differs" in line] == [["E", "after"]]
    assert "0.291027924." in out


# --- chain ---------------------------------------------------------------------------------------


def test_chain_prints_every_factor_of_every_gradient(capsys):
    chain.main()
    out = capsys.readouterr().out
    names = re.findall(r"dC/d([wb]\d) = (dC/da3 .*)", out)
    assert [name for name, _ in names] == ["w3", "b3", "w2", "b2", "w1", "b1"]
    assert names[4][1].split(" * ") == [
        "dC/da3", "da3/dz3", "dz3/da2", "da2/dz2", "dz2/da1", "da1/dz1", "dz1/dw1",
    ]  # fmt: skip
    factors = [list(map(float, f.split(" * "))) for f in re.findall(r"= (-?\d\S+ \* .*)", out)]
    products = re.findall(r"= (\S+)    the graph: (\S+)", out)
    assert len(factors) == len(products) == 6
    for found, (product, graph) in zip(factors, products, strict=True):
        assert float(product) == pytest.approx(np.prod(found), rel=2e-5)
        assert product == graph


def test_chain_agrees_with_complex_step_differentiation(capsys):
    def cost(weights, biases):
        a = chain.INPUT
        for w, b in zip(weights, biases, strict=True):
            a = 1 / (1 + np.exp(-(w * a + b)))
        return (a - chain.TARGET) ** 2

    chain.main()
    printed = dict(
        re.findall(r"dC/d([wb]\d) = dC.*\n.*\n.*the graph: (\S+)", capsys.readouterr().out)
    )
    for i in range(chain.LAYERS):
        nudge = 1e-30j * np.eye(chain.LAYERS)[i]
        by_weight = cost(chain.WEIGHTS + nudge, chain.BIASES).imag / 1e-30
        by_bias = cost(chain.WEIGHTS, chain.BIASES + nudge).imag / 1e-30
        assert float(printed[f"w{i + 1}"]) == pytest.approx(by_weight, abs=1e-12)
        assert float(printed[f"b{i + 1}"]) == pytest.approx(by_bias, abs=1e-12)


# --- lift ----------------------------------------------------------------------------------------


def test_lift_shows_the_scalar_code_its_nodes_and_the_program_that_agrees(capsys):
    lift.main()
    out = capsys.readouterr().out
    code, program = out.split("array operations:")
    assert "\ndef cost(x: list[Any], y: list[Any]) -> Any:\n    a = x\n" in code
    assert "7,283 scalar nodes" in code
    assert "\n    delta3 = sigmoid(z3) - Y\n" in program
    by_graph, by_program = re.search(r"cost: (\S+) by the graph, (\S+) by", program).groups()
    assert by_graph == by_program
    assert float(re.search(r"2410 of them, (\S+) apart", program)[1]) < 1e-14
    assert float(re.search(r"(\d+) times faster", program)[1]) > 1


# --- xor and moons -------------------------------------------------------------------------------


def test_xor_is_learned_by_the_network_and_not_by_one_neuron(capsys):
    xor.main()
    rows = re.findall(r"(\d) xor (\d) = (\d)    p = (\S+)", capsys.readouterr().out)
    assert len(rows) == 8
    assert all(int(a) ^ int(b) == int(y) for a, b, y, _ in rows)
    right = [round(float(p)) == int(y) for *_, y, p in rows]
    assert not all(right[:4])
    assert all(abs(float(p) - int(y)) < 0.02 for *_, y, p in rows[4:])


def test_moons_are_two_half_circles():
    X, y = moons.moons(50, 0.0, np.random.default_rng(0))
    assert X.shape == (50, 2)
    assert sorted(y) == [0] * 25 + [1] * 25
    assert np.allclose(np.hypot(*X[y == 0].T), 1)
    assert (X[y == 0][:, 1] >= 0).all()
    assert np.allclose(np.hypot(*(X[y == 1] - [1, 0.5]).T), 1)
    assert (X[y == 1][:, 1] <= 0.5).all()


def test_moons_are_told_apart_and_drawn(capsys, tmp_path):
    moons.main(out=tmp_path / "new" / "directory", epochs=20)
    out = capsys.readouterr().out
    assert int(re.findall(r"accuracy (\d+)%", out)[-1]) >= 95
    picture = (tmp_path / "new" / "directory" / "moons.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_moons_probability_is_that_of_the_model_itself():
    model = nn.MLP(2, [3, 1], activation="relu", seed=0)
    X = np.array([[0.3, -1.0], [2.0, 0.5]])
    assert moons.probability(model, X) == pytest.approx([cr.sigmoid(model(x)).data for x in X])


def test_a_seed_decides_everything(capsys, tmp_path):
    said = []
    for seed in (5, 5, 6):
        moons.main(out=tmp_path, epochs=1, seed=seed)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]
