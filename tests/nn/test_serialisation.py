"""Weights in files: what goes out comes back, and nothing else comes in."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import stat
import struct
import subprocess
import sys
import threading
import traceback
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn

from .. import children


@pytest.fixture
def model():
    return nn.MLP(2, [3, 1], activation="tanh", output_activation="sigmoid", seed=0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.npz"


def npy(array, version=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version=version)
    return stream.getvalue()


def header(text, length=0):
    """The bytes of an .npy file whose header is *text*, followed by *length* zeros."""
    text = text.encode("latin1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(length)


def entries_of(model):
    arrays = {
        **model.state_dict(),
        "sizes": np.array(model.sizes, dtype=np.int64),
        "activations": np.array(model.activations),
    }
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


def write(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, contents in entries.items():
            archive.writestr(name, contents)


# ---------------------------------------------------------------- out and in again


@pytest.mark.parametrize(
    "made",
    [
        nn.MLP(2, [3, 1], activation="tanh", seed=0),
        nn.MLP(1, [1], output_activation="leaky_relu", seed=1),
        nn.MLP(4, [3, 1, 5, 2], ["gelu", "relu", "silu"], "softmax", seed=2),
    ],
)
def test_a_network_comes_back_to_the_last_bit(made, path):
    for parameter, number in zip(made.parameters(), (5e-324, -0.0, 1e308), strict=False):
        parameter.data = number
    assert nn.save(made, path) is None
    again = nn.load(path)
    assert type(again) is nn.MLP
    assert repr(again) == repr(made)
    assert [p.data.hex() for p in again.parameters()] == [p.data.hex() for p in made.parameters()]
    assert [p.label for p in again.parameters()] == [p.label for p in made.parameters()]
    other = nn.MLP(made.sizes[0], made.sizes[1:], made.activations[:-1], made.activations[-1])
    assert nn.load(str(path), into=other) is other
    assert other.state_dict().keys() == made.state_dict().keys()
    assert [p.data for p in other.parameters()] == [p.data for p in made.parameters()]


def test_numpy_reads_the_file(model, path):
    nn.save(model, path)
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file) == ["Theta1", "Theta2", "activations", "sizes"]
        assert (file["Theta1"] == model.thetas[0]).all()


def test_what_numpy_writes_can_be_loaded(model, path):
    state = {name: array + 1 for name, array in model.state_dict().items()}
    with path.open("wb") as file:
        np.savez(file, **state)
    nn.load(path, into=model)
    assert (model.thetas[1] == state["Theta2"]).all()
    with pytest.raises(ValueError, match=r"'sizes' is missing.* must be given as into"):
        nn.load(path)


@pytest.mark.parametrize("order", ["F", ">f8"])
def test_column_order_and_byte_order_are_read_as_meant(model, path, order):
    thetas = [np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(1, 4)]
    entries = entries_of(model)
    for i, theta in enumerate(thetas, start=1):
        stored = np.asfortranarray(theta) if order == "F" else theta.astype(order)
        entries[f"Theta{i}.npy"] = npy(stored, version=(2, 0))
    write(path, entries)
    for loaded in (nn.load(path), nn.load(path, into=model)):
        assert all((a == b).all() for a, b in zip(loaded.thetas, thetas, strict=True))


def test_a_module_of_ones_own(path):
    class Own(nn.Module):
        def __init__(self):
            self.scale = cr.Value(2.0)
            self.body = nn.Layer(2, 2, seed=0)

    module = Own()
    nn.save(module, path)
    other = Own()
    other.scale.data = 0.0
    nn.load(path, into=other)
    assert other.scale.data == 2.0
    with pytest.raises(ValueError, match="must be given as into"):
        nn.load(path)


def test_a_subclass_is_not_taken_for_an_mlp(path):
    class Residual(nn.MLP):
        def __call__(self, x):
            return super().__call__(x) + x[0]

    nn.save(Residual(2, [1]), path)
    nn.load(path, into=Residual(2, [1]))
    with pytest.raises(ValueError, match="must be given as into"):
        nn.load(path)


def test_the_name_is_taken_as_it_is_and_equal_weights_make_equal_files(model, tmp_path):
    for name in ("weights", "again.bin"):
        nn.save(model, tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.bin", "weights"]
    assert (tmp_path / "weights").read_bytes() == (tmp_path / "again.bin").read_bytes()


# ---------------------------------------------------------------- whole or not at all


def test_a_failed_save_leaves_the_old_file_and_nothing_else(model, path, monkeypatch):
    nn.save(model, path)
    before = path.read_bytes()
    model.layers[0].neurons[1].w[0].data = float("nan")
    with pytest.raises(ValueError, match=r"Theta1\[1, 1\] is nan: expected finite numbers"):
        nn.save(model, path)
    model.layers[0].neurons[1].w[0].data = 0.0

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        nn.save(model, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions_are_those_of_any_new_file(model, path):
    old = os.umask(0o027)
    try:
        nn.save(model, path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_symbolic_link_is_written_through(model, path):
    target = path.with_name("target.npz")
    path.symlink_to(target)
    nn.save(model, path)
    assert path.is_symlink()
    assert repr(nn.load(target)) == repr(model)


def test_places_that_cannot_be_written(model, tmp_path):
    with pytest.raises(IsADirectoryError):
        nn.save(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere'"):
        nn.save(model, tmp_path / "nowhere" / "weights.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: nn.save(p, nn.MLP(1, [1])), TypeError, "a Module, then a path"),
        (lambda p: nn.save(nn.MLP(1, [1]), None), TypeError, "save: the path is None"),
        (lambda p: nn.save(nn.Module(), p), ValueError, "has no parameters"),
        (lambda p: nn.load(3), TypeError, "load: the path is 3"),
        (lambda p: nn.load(p, into={}), TypeError, "into is {}; expected a Module"),
    ],
)
def test_wrong_arguments(call, error, message, path):
    with pytest.raises(error, match=message):
        call(path)
    assert not path.exists()


# ---------------------------------------------------------------- hostile files


def refused(path, model, message, error=ValueError):
    """Assert that the file at *path* is refused both ways, by name, and changes nothing."""
    before = model.state_dict()
    for into in (None, model):
        with pytest.raises(error, match=message) as caught:
            nn.load(path, into=into)
        assert str(path) in str(caught.value)
    assert all((model.state_dict()[name] == array).all() for name, array in before.items())


def test_files_that_are_not_there(model, tmp_path):
    refused(tmp_path / "none.npz", model, "No such file", FileNotFoundError)
    if sys.platform != "win32":
        refused(tmp_path, model, "directory", IsADirectoryError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_a_pipe_is_refused_rather_than_waited_for(model, path):
    os.mkfifo(path)
    thread = threading.Thread(target=refused, args=(path, model, "is not a file"), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert not thread.is_alive()


@pytest.mark.parametrize("contents", [b"", b"PK", b"hello" * 100, npy(np.ones(3)), b"PK\5\6" * 9])
def test_files_that_are_no_archives(model, path, contents):
    path.write_bytes(contents)
    refused(path, model, "not a zip file|corrupt|Bad|truncated")


def test_every_truncation_is_refused(model, path):
    nn.save(model, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        refused(path, model, "load: ")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_byte_is_noticed_or_harmless(tmp_path_factory, data):
    model = nn.MLP(2, [3, 1], activation="tanh", seed=0)
    path = tmp_path_factory.mktemp("damaged") / "weights.npz"
    nn.save(model, path)
    contents = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(contents) - 1))
    contents[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(contents)
    other = nn.MLP(2, [3, 1], activation="tanh", seed=1)
    before = [p.data for p in other.parameters()]
    loaded, message = True, str(path)
    try:
        nn.load(path, into=other)
    except ValueError as error:
        loaded, message = False, str(error)
    assert str(path) in message
    # Harmless is a change such as that of an entry's date.
    expected = [p.data for p in model.parameters()] if loaded else before
    assert [p.data for p in other.parameters()] == expected


REPLACED = {
    "no array": (npy(np.ones((3, 3)))[:20], "Theta1"),
    "text": (b"not an array at all", "'Theta1': .*magic"),
    "empty": (b"", "Theta1"),
    "wrong shape": (npy(np.ones((3, 2))), r"'Theta1' has shape \(3, 2\): expected \(3, 3\)"),
    "one axis too many": (npy(np.ones((3, 3, 1))), r"shape \(3, 3, 1\)"),
    "complex": (npy(np.ones((3, 3), dtype=complex)), "dtype complex128: expected float64"),
    "int": (npy(np.ones((3, 3), dtype=np.int64)), "dtype int64: expected float64"),
    "float32": (npy(np.ones((3, 3), dtype=np.float32)), "dtype float32: expected float64"),
    "text array": (npy(np.full((3, 3), "x")), "dtype <U1: expected float64"),
    "structured": (npy(np.zeros((3, 3), dtype=[("a", "f8")])), "Theta1' has dtype"),
    "dates": (npy(np.zeros((3, 3), dtype="M8[s]")), "dtype datetime64"),
    "objects": (npy(np.full((3, 3), None)), "dtype object: expected float64"),
    "nan": (npy(np.full((3, 3), np.nan)), r"Theta1\[0, 0\] is nan: expected finite"),
    "infinite": (npy([[0, 0, 0], [0, 0, np.inf], [0, 0, 0.0]]), r"Theta1\[1, 2\] is inf"),
    "too few bytes": (npy(np.ones((3, 3)))[:-8], "64 bytes after its header: expected 72"),
    "too many bytes": (npy(np.ones((3, 3))) + b"\0", "73 bytes after its header: expected 72"),
    "terabytes": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
        r"shape \(1000000, 1000000\): expected \(3, 3\)",
    ),
    "more than there are atoms": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 400 + ", 3), }"),
        "Theta1' has shape",
    ),
    "negative": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, -3), }", 72),
        r"shape \(-3, -3\)",
    ),
    "a dtype of terabytes": (
        header("{'descr': '|V1000000000', 'fortran_order': False, 'shape': (3, 3), }"),
        "Theta1",
    ),
    "another header": (header("{'descr': '<f8', 'shape': (3, 3), }", 72), "Theta1"),
    "a call in the header": (header("__import__('os').getcwd()", 72), "Theta1"),
    "brackets": (header("(" * 5000, 72), "Theta1"),
    "a long header": (header("{" + " " * 20000 + "}", 72), "Theta1"),
    "format 9": (b"\x93NUMPY\x09\x00" + npy(np.ones((3, 3)))[8:], "Theta1"),
    "format 3": (npy(np.ones((3, 3)), version=(3, 0)), r"npy format \(3, 0\)"),
}


@pytest.mark.parametrize("what", REPLACED)
@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_entries_that_are_not_the_weights(model, path, what):
    contents, message = REPLACED[what]
    write(path, entries_of(model) | {"Theta1.npy": contents})
    tracemalloc.start()
    try:
        refused(path, model, message)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_nothing_is_ever_unpickled(model, path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(path.parent / "exploded"),)

    bomb = np.full((3, 3), None)
    bomb[0, 0] = Bomb()
    for name in ("Theta1.npy", "sizes.npy", "activations.npy"):
        write(path, entries_of(model) | {name: npy(bomb)})
        refused(path, model, "dtype object")
    assert not (path.parent / "exploded").exists()


def test_names_that_do_not_fit(model, path):
    entries = entries_of(model)
    without = {name: contents for name, contents in entries.items() if name != "Theta2.npy"}
    write(path, without)
    refused(path, model, "Theta2|sizes")
    write(path, without | {"Theta9.npy": entries["Theta2.npy"]})
    refused(path, model, "missing 'Theta2'; unexpected 'Theta9'")
    write(path, entries | {"Theta3.npy": entries["Theta2.npy"]})
    refused(path, model, "Theta3|sizes")
    write(path, entries | {"../Theta3.npy": b""})
    refused(path, model, "Theta3|sizes")
    write(path, entries | {"README.txt": b"hello"})
    refused(path, model, "'README.txt' is not an array: expected names that end in .npy")
    write(path, {name: c for name, c in entries.items() if name != "sizes.npy"})
    refused(path, model, "sizes|activations")
    write(path, {})
    refused(path, model, "missing")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice(model, path):
    write(path, entries_of(model))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("Theta1.npy", npy(np.zeros((3, 3))))
    refused(path, model, "'Theta1' occurs twice")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_entries_are_refused_unread(model, path, method):
    bomb = header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 3), }", 30_000_000)
    write(path, entries_of(model) | {"Theta1.npy": bomb}, method)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        refused(path, model, "is compressed: expected what chainrule.nn.save or numpy.savez")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def patched(path, find, offset, new):
    """Overwrite bytes at *offset* from the last occurrence of *find*."""
    contents = bytearray(path.read_bytes())
    at = contents.rindex(find) + offset
    contents[at : at + len(new)] = new
    path.write_bytes(contents)


def test_a_directory_that_lies_about_sizes(model, path):
    nn.save(model, path)
    central = b"PK\x01\x02"  # the last entry's: activations
    patched(path, central, 20, struct.pack("<II", 1 << 31, 1 << 31))
    refused(path, model, "overlap: together they are longer than the file")
    nn.save(model, path)
    patched(path, central, 24, struct.pack("<I", 1 << 31))
    refused(path, model, "is compressed")
    nn.save(model, path)
    patched(path, central, 8, struct.pack("<H", 1))  # encrypted
    refused(path, model, "activations")
    nn.save(model, path)
    patched(path, central, 42, struct.pack("<I", 0))  # its data are those of Theta1
    refused(path, model, "activations|File name in directory")


def test_a_file_larger_than_any_model_is_refused_unread(model, path):
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # sparse
    refused(path, model, "bytes: expected at most")


ARCHITECTURES = {
    "zero units": ({"sizes": np.array([2, 0, 1])}, r"sizes\[1\] is 0"),
    "negative": ({"sizes": np.array([2, -3, 1])}, r"sizes\[1\] is -3"),
    "huge": ({"sizes": np.array([10**9, 10**9, 1])}, r"Theta1' has shape \(3, 3\)"),
    "floats": ({"sizes": np.array([2.0, 3.0, 1.0])}, "'sizes' has dtype float64"),
    "a scalar": ({"sizes": np.array(2)}, r"'sizes' has shape \(\)"),
    "too many": ({"sizes": np.array([2, 3, 3, 1])}, r"'sizes' has shape \(4,\): expected \(3,\)"),
    "other sizes": ({"sizes": np.array([2, 4, 1])}, r"Theta1' has shape \(3, 3\)"),
    "unknown": ({"activations": np.array(["exp", "tanh"])}, "activation 'exp': expected one of"),
    "softmax of one": ({"activations": np.array(["tanh", "softmax"])}, "softmax of one"),
    "numbers": ({"activations": np.array([1, 2])}, "'activations' has dtype int64"),
    "bytes": ({"activations": np.array([b"tanh", b"tanh"])}, "'activations' has dtype"),
    "long text": ({"activations": np.array(["t" * 99, "tanh"])}, "'activations' has dtype <U99"),
    "no text": (
        {"activations": np.full((2, 4), 0x7FFFFFFF, dtype="<u4").view("<U4")[:, 0]},
        "activation '",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ARCHITECTURES)
def test_architectures_that_are_none(model, path, what):
    change, message = ARCHITECTURES[what]
    write(path, entries_of(model) | {f"{name}.npy": npy(array) for name, array in change.items()})
    before = [p.data for p in model.parameters()]
    with pytest.raises(ValueError, match=message) as caught:
        nn.load(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match=r"sizes|activations"):
        nn.load(path, into=model)
    assert [p.data for p in model.parameters()] == before


def test_weights_of_other_activations_are_refused(model, path):
    nn.save(nn.MLP(2, [3, 1], activation="relu", output_activation="sigmoid"), path)
    with pytest.raises(ValueError, match=r"activations are \('relu', 'sigmoid'\): expected \('tan"):
        nn.load(path, into=model)
    model.load_state_dict(nn.load(path).state_dict())  # the way to do it all the same


def test_a_claim_of_many_units_costs_nothing(path):
    made = nn.MLP(1, [1], seed=0)
    shape = "(9000000, 2)"
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    write(
        path,
        entries_of(made)
        | {"sizes.npy": npy(np.array([1, 9_000_000])), "Theta1.npy": header(head, 100)},
    )
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="100 bytes after its header: expected 144000000"):
            nn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in the file system")
def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="is not a file"):
        nn.save(nn.MLP(1, [1]), pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_file_saved_again_keeps_its_permissions(tmp_path):
    path = tmp_path / "private.npz"
    nn.save(nn.MLP(1, [1]), path)
    path.chmod(0o600)
    nn.save(nn.MLP(1, [1]), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("", FileNotFoundError, "the path is empty; expected the name of a file: ''"),
        ("a\0b", FileNotFoundError, "the path has a null character"),
        ("loop", OSError, "'loop'$"),
        ("loop/weights.npz", OSError, "'loop/weights.npz'$"),
        ("folder", IsADirectoryError, "Is a directory: 'folder'$"),
        ("nowhere/weights.npz", FileNotFoundError, "'nowhere/weights.npz'$"),
        ("file/weights.npz", OSError, "'file/weights.npz'$"),
        ("x" * 300, OSError, "too long: 'x{300}'$"),
        (3, TypeError, "the path is 3; expected a str or a pathlib.Path"),
        (b"weights.npz", TypeError, "expected a str or a pathlib.Path"),
        (None, TypeError, "the path is None"),
    ],
)
def test_a_path_that_cannot_be_is_named_as_it_was_given(
    path, error, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error, match=message):
        nn.save(nn.MLP(1, [1], seed=0), path)
    with pytest.raises(error, match=message):
        nn.load(path)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "loop").is_symlink()


def test_a_failure_to_write_names_the_file_and_not_the_one_beside_it(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "weights.npz"
    with pytest.raises(OSError, match=re.escape(str(path))):
        nn.save(nn.MLP(1, [1], seed=0), path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- what the file system is asked for

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has other owners, locks and links")


@POSIX
def test_a_read_only_file_system_is_said_of_the_path_that_was_given(tmp_path):
    """In a mount namespace of its own, where a file system can be made read-only."""
    inside = tmp_path / "inside"
    inside.mkdir()
    script = (
        "import sys\n"
        "from chainrule import nn\n"
        "try:\n"
        "    nn.save(nn.MLP(1, [1], seed=0), sys.argv[1])\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = (
        'mount -t tmpfs -o ro none "$1" && exec "$2" "$3" "$1/weights.npz"',
        "sh", inside, sys.executable, tmp_path / "script.py",
    )  # fmt: skip
    try:
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", *command],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(cr.__file__).parents[1],
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if "script.py" not in done.stderr and done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    assert done.stdout == f"[Errno 30] Read-only file system: '{inside / 'weights.npz'}'\n"


@POSIX
def test_no_message_or_traceback_names_a_temporary_file(model, path, monkeypatch, temporary):
    def refuse(*args, **keywords):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), args[0])

    nn.save(model, path)
    for name in ("replace", "unlink", "link"):
        monkeypatch.setattr(os, name, refuse)
    with pytest.raises(OSError, match=re.escape(repr(str(path)))) as caught:
        nn.save(model, path)
    assert caught.value.errno == errno.EROFS
    assert ".tmp" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid(), reason="only root can give away")
def test_the_owner_of_a_file_that_is_saved_again_stays(model, path, temporary):
    nn.save(model, path)
    path.chmod(0o640)
    os.chown(path, 1234, 5678)
    nn.save(model, path)
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (1234, 5678)
    assert stat.S_IMODE(status.st_mode) == 0o640


@POSIX
def test_a_group_that_cannot_be_kept_hands_no_rights_to_another(model, path, monkeypatch):
    nn.save(model, path)
    path.chmod(0o664)

    def refuse(*args, **keywords):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    status = path.stat()
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(
        Path,
        "stat",
        lambda self, **keywords: os.stat_result((*status[:5], status.st_gid + 1, *status[6:])),
    )
    nn.save(model, path)
    monkeypatch.undo()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.fixture(params=["a file without a name", "a named file"])
def temporary(request, monkeypatch):
    """Both ways to write aside; the first is to be had on Linux alone."""
    if request.param == "a named file":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        return "import os\nif hasattr(os, 'O_TMPFILE'): del os.O_TMPFILE\n"
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("there are no files without a name here")
    return "import os\n"


def killed(path, setting, moment):
    """Save to *path* in a process that is killed when it comes to *moment*, a function of os."""
    script = (
        "import signal, sys\n"
        "from chainrule import nn\n"
        f"{setting}"
        "def die(*args, **keywords):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.{moment} = die\n"
        "nn.save(nn.MLP(3, [3, 1], seed=5), sys.argv[1])\n"
    ).replace("{moment}", moment)
    assert children.run("-c", script, path).returncode == -signal.SIGKILL


@pytest.mark.processes_alone
@POSIX
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_what_a_killed_save_leaves_the_next_one_takes_away(model, path, temporary, moment):
    nn.save(model, path)
    before = path.read_bytes()
    bystanders = [path.with_name(name) for name in (".other.npz.0123abcd.tmp", ".weights.npz.tmp")]
    for bystander in bystanders:
        bystander.write_text("somebody's")
    for _ in range(3):
        killed(path, temporary, moment)
        assert path.read_bytes() == before
    nn.save(model, path)
    assert sorted(path.parent.iterdir()) == sorted([path, *bystanders])


@pytest.mark.processes_alone
@POSIX
def test_a_killed_save_of_a_new_file_leaves_nothing(path):
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("there are no files without a name here")
    for moment in ("fsync", "link"):
        killed(path, "import os\n", moment)
        assert list(path.parent.iterdir()) == []


@pytest.mark.processes_alone
@POSIX
def test_saves_at_the_same_time_do_not_take_away_each_others_files(model, path, temporary):
    """Each sweeps up what killed ones left; what a living one holds is locked."""
    failures = []

    def work(seed):
        mine = nn.MLP(2, [3, 1], activation="tanh", output_activation="sigmoid", seed=seed)
        try:
            for _ in range(25):
                nn.save(mine, path)
                nn.load(path)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert list(path.parent.iterdir()) == [path]


@POSIX
def test_the_directory_is_synchronised_after_the_file_has_its_name(
    model, path, monkeypatch, temporary
):
    calls = []
    synchronise = os.fsync

    def noted(descriptor):
        status = os.fstat(descriptor)
        calls.append(("directory" if stat.S_ISDIR(status.st_mode) else "file", path.exists()))
        synchronise(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    nn.save(model, path)
    assert calls == [("file", False), ("directory", True)]
    nn.save(model, path)
    assert calls[2:] == [("file", True), ("directory", True)]


def test_a_name_of_the_greatest_length_can_be_saved_to_twice(model, tmp_path, temporary):
    path = tmp_path / ("ü" * 120 + "weights.npz")
    nn.save(model, path)
    nn.save(model, path)
    assert list(tmp_path.iterdir()) == [path]
