"""The main demo: its data, its training, its three roads to the gradient, and its pictures."""

import gzip
import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import chainrule as cr
from chainrule import cli, demos, nn
from chainrule.demos import digits

DATA = Path(demos.__file__).parent / "data"
PICTURES = ["neuron.svg", "graph.svg", "network.svg", "loss.svg", "digits.png"]


@pytest.fixture
def few(monkeypatch):
    """A tenth of the digits, and three differences, to be quick."""
    everything = digits.load()
    monkeypatch.setattr(digits, "load", lambda: everything[::10])
    monkeypatch.setattr(digits, "HELD_OUT", 40)
    monkeypatch.setattr(digits, "SAMPLED", 3)


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures, to be quick where they do not matter."""
    monkeypatch.setattr(digits, "draw", lambda *things: ())


@pytest.fixture
def model():
    return nn.MLP(64, digits.WIDTHS, activation=digits.ACTIVATION, seed=0)


# --- data ----------------------------------------------------------------------------------------


def test_the_data_are_the_published_ones():
    data = digits.load()
    assert data.X.shape == (1797, 64)
    assert np.array_equal(np.unique(data.X * 16), np.arange(17))
    # the counts of each class in the test part, as UCI publishes them
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(data.labels).tolist() == counts


def test_their_attribution_travels_with_them():
    note = (DATA / "README.md").read_text(encoding="utf-8")
    for said in (
        "Alpaydin",
        "Kaynak",
        "CC BY 4.0",
        "10.24432/C50P49",
        "*test* part",
        "scikit-learn",
    ):
        assert said in note
    assert hashlib.sha256((DATA / "digits.csv.gz").read_bytes()).hexdigest() in note


def test_no_digit_is_both_learned_from_and_held_out():
    numbered = digits.Digits(np.arange(1797.0), np.arange(1797))
    training, held_out = digits.split(numbered, np.random.default_rng(0))
    assert (len(training), len(held_out)) == (1437, 360)
    assert sorted([*training.labels, *held_out.labels]) == list(range(1797))


# --- learning ------------------------------------------------------------------------------------


def test_one_epoch_on_half_of_the_digits_teaches_most_of_them(model):
    rng = np.random.default_rng(0)
    training, held_out = digits.split(digits.load(), rng)
    history = digits.History()
    digits.train(model, training[::2], held_out[::2], 1, rng, history, quiet=True)
    assert len(history.losses) == 44
    assert history.accuracies[0] > 0.8  # measured with seeds 0 to 4: 0.861 to 0.944


def losses_of_a_short_run(batches):
    """Return the losses of the first steps, and the weights after them."""
    rng = np.random.default_rng(1)
    training, held_out = digits.split(digits.load(), rng)
    model = nn.MLP(64, digits.WIDTHS, activation=digits.ACTIVATION, seed=rng)
    history = digits.History()
    few = training[: batches * digits.BATCH]
    digits.train(model, few, held_out[:20], 1, rng, history, quiet=False)
    return history.losses, np.concatenate([theta.ravel() for theta in model.thetas])


def test_training_by_the_compiled_loss_is_training_by_graphs(monkeypatch, capsys):
    losses, weights = losses_of_a_short_run(5)
    assert "gradients from the compiled loss: 2,550 scalar nodes became" in capsys.readouterr().out
    seen = []

    def refusing(function, executor=None):
        seen.append(function)
        raise cr.TraceError("it is told not to")

    monkeypatch.setattr(cr, "compile", refusing)
    by_graph, same_weights = losses_of_a_short_run(5)
    said = capsys.readouterr().out
    assert "gradients from a graph for every mini-batch: it is told not to\n" in said
    assert len(seen) == 2  # the loss, and the outputs that are read
    np.testing.assert_allclose(losses, by_graph, rtol=1e-12)
    np.testing.assert_allclose(weights, same_weights, rtol=1e-11)


def test_a_refusal_other_than_to_compile_is_not_hidden(monkeypatch):
    def broken(function, executor=None):
        raise ValueError("broken")

    monkeypatch.setattr(cr, "compile", broken)
    with pytest.raises(ValueError, match="broken"):
        losses_of_a_short_run(1)


def test_the_network_has_the_promised_size(model):
    assert model.sizes == (64, 32, 10)
    assert len(model.parameters()) == 2410


# --- three roads to one gradient -----------------------------------------------------------------


def test_the_three_gradients_agree(model):
    batch = digits.load()[:5]
    graph, closed = digits.by_graph(model, batch), digits.by_closed_form(model, batch)
    assert graph.shape == closed.shape == (2410,)
    assert digits.relative_differences(graph, closed).max() < 1e-10
    some = np.flatnonzero(graph)[[0, 700, -1]]
    numerical = digits.by_differences(model, batch, some)
    assert digits.relative_differences(graph[some], numerical).max() < 1e-7


def test_differences_leave_the_parameters_as_they_were(model):
    before = [p.data for p in model.parameters()]
    digits.by_differences(model, digits.load()[:2], np.array([3, 2000]))
    assert [p.data for p in model.parameters()] == before


def test_a_wrong_entry_is_seen_however_small():
    reference = np.array([1e-9, 5.0, 0.0])
    assert digits.relative_differences(reference, reference).tolist() == [0, 0, 0]
    wrong = reference * [1 + 1e-6, 1, 1]
    assert digits.relative_differences(wrong, reference).max() == pytest.approx(1e-6)
    with np.errstate(divide="ignore"):
        assert digits.relative_differences(np.array([1e-300]), np.zeros(1)) == [np.inf]


# --- the run -------------------------------------------------------------------------------------


def test_the_run_says_how_it_went_and_draws_it(few, capsys, tmp_path):
    out = tmp_path / "a" / "b"
    assert cli.main(["demo", "digits", "--out", str(out), "--epochs", "2", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^epoch \d/2  loss \d\.\d{4}  held-out accuracy \S+%", said, re.M)) == 2
    assert re.search(r"accuracy on held-out digits: \S+% \(\d+ of 40 wrong\)", said)
    assert float(re.search(r"all 2,410 parameters: (\S+)", said)[1]) < 1e-9
    assert float(re.search(r"differences, over 3 of them: (\S+)", said)[1]) < 1e-5
    assert re.findall(r"wrote (\S+):", said) == [str(out / name) for name in PICTURES]
    assert sorted(path.name for path in out.iterdir()) == sorted(PICTURES)
    for name in PICTURES[:-1]:
        assert ET.parse(out / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert (out / "digits.png").read_bytes().startswith(b"\x89PNG")


def test_how_many_workers_share_the_steps_changes_no_bit(capsys):
    weights = []
    for workers in (1, 3):
        rng = np.random.default_rng(1)
        training, held_out = digits.split(digits.load(), rng)
        model = nn.MLP(64, digits.WIDTHS, activation=digits.ACTIVATION, seed=rng)
        history = digits.History()
        with ThreadPoolExecutor(workers) as pool:
            digits.train(model, training, held_out, 40, rng, history, quiet=False, pool=pool)
        assert len(history.losses) == 40
        assert history.accuracies[-1] > 0.9  # measured with seeds 0 and 1: 0.964 and 0.969
        weights.append(np.concatenate([theta.ravel() for theta in model.thetas]).tobytes())
        assert capsys.readouterr().out.count("\n") == 11  # a line for every fourth epoch
    assert weights[0] == weights[1]


def test_processes_share_the_demo(undrawn, capsys, tmp_path):
    assert (
        cli.main(["demo", "digits", "--workers", "2", "--epochs", "3", "--out", str(tmp_path)]) == 0
    )
    assert "accuracy on held-out digits" in capsys.readouterr().out


def test_the_accuracy_counts_the_wrong_ones(few, undrawn, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "predict", lambda model, X: np.full(len(X), 10))
    digits.main(out=tmp_path, epochs=1)
    said = capsys.readouterr().out
    assert "accuracy on held-out digits: 0.0% (40 of 40 wrong)" in said


def test_quiet_leaves_the_results_and_the_seed_decides_them(few, undrawn, capsys, tmp_path):
    for _ in range(2):
        digits.main(out=tmp_path, epochs=1, seed=7, quiet=True)
    first, second = np.array_split(capsys.readouterr().out.splitlines(), 2)
    assert first.tolist() == second.tolist()
    assert first[0].startswith("accuracy")
    assert not any("epoch" in line for line in first)


def test_progress_rewrites_its_line_on_a_terminal(few, undrawn, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    digits.main(out=tmp_path, epochs=1)
    ticks = re.findall(r"\repoch 1/1[^\r\n]*", capsys.readouterr().out)
    assert len(ticks) > 2
    assert len(ticks[-1]) >= max(map(len, ticks)), "the last one must cover the others"


def test_an_interrupted_run_says_what_was_finished(few, capsys, tmp_path, monkeypatch):
    predict, calls = digits.predict, iter(range(9))

    def predict_once(model, X):
        if next(calls):
            raise KeyboardInterrupt
        return predict(model, X)

    monkeypatch.setattr(digits, "predict", predict_once)
    assert cli.main(["demo", "--out", str(tmp_path), "--epochs", "3"]) == 130
    pattern = (
        r"chainrule: interrupted after 1 of 3 epochs \(held-out accuracy \S+%\); written: nothing\n"
    )
    assert re.fullmatch(pattern, capsys.readouterr().err)


def test_an_interrupted_drawing_names_what_was_written(few, capsys, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "draw_history", interrupted)
    assert cli.main(["demo", "--out", str(tmp_path), "--epochs", "1", "--quiet"]) == 130
    written = capsys.readouterr().err.strip().split("; written: ")[1].split(", ")
    assert written == [str(tmp_path / name) for name in PICTURES[:3]]


@pytest.mark.parametrize(("theme", "paper"), [("light", "#ffffff"), ("dark", "#0d1117")])
def test_every_picture_of_the_demo_obeys_the_theme(few, capsys, tmp_path, theme, paper):
    command = ["demo", "--out", str(tmp_path), "--epochs", "1", "--quiet", "--theme", theme]
    assert cli.main(command) == 0
    other = {"#ffffff": "#0d1117", "#0d1117": "#ffffff"}[paper]
    for name in PICTURES[:4]:
        svg = (tmp_path / name).read_text(encoding="utf-8")
        # A style is how matplotlib says it, an attribute how we do.
        filled = set(re.findall(r'\bfill(?:: ?|=")(#\w+)', svg))
        assert paper in filled
        assert other not in filled


def test_a_sheet_marks_the_wrong_readings_alone(tmp_path, monkeypatch):
    few = digits.load()[:30]
    frames, captions = [], []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda self, *a, **k: frames.append(a))
    text = "matplotlib.axes.Axes.text"
    monkeypatch.setattr(text, lambda self, *, s, **k: captions.append(s))
    digits.draw_sheet(tmp_path / "s.png", few, np.where(np.arange(30) == 4, 7, few.labels))
    assert len(frames) == 1
    assert len(captions) == 30
    assert captions[4] == "7, not 4"
    assert captions[5] == "5"


def test_the_data_file_is_one_gzip_member_of_plain_numbers():
    text = gzip.decompress((DATA / "digits.csv.gz").read_bytes()).decode("ascii")
    assert text.count("\n") == 1797
    assert not re.search(r"[^0-9,\n]", text)
