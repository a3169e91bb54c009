"""Inputs of the sizes at which the league is played, made as the evals define them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

SEED = 31337


def lse(checkout: Path, n: int) -> Any:
    return {"x": np.random.default_rng(SEED).random(n).tolist()}


def llsq(checkout: Path, n: int, m: int) -> Any:
    return {"x": np.random.default_rng(SEED).random(m).tolist(), "n": n}


def ode(checkout: Path, n: int, s: int) -> Any:
    return {"x": np.random.default_rng(SEED).random(n).tolist(), "s": s}


def det(checkout: Path, ell: int) -> Any:
    return {"A": np.random.default_rng(SEED).random(ell * ell).tolist(), "ell": ell}


def kmeans(checkout: Path, k: int, n: int, d: int) -> Any:
    points = np.random.default_rng(SEED).random((n, d)).tolist()
    return {"points": points, "centroids": points[-k:]}


def gmm(checkout: Path, d: int, k: int, n: int) -> Any:
    rng = np.random.default_rng(SEED)
    return {
        "d": d,
        "k": k,
        "n": n,
        "m": 0,
        "gamma": 1.0,
        "x": rng.normal(size=(n, d)).tolist(),
        "alpha": rng.normal(size=k).tolist(),
        "mu": rng.uniform(size=(k, d)).tolist(),
        "q": rng.normal(size=(k, d)).tolist(),
        "l": rng.normal(size=(k, d * (d - 1) // 2)).tolist(),
    }


def lstm(checkout: Path, layers: int, characters: int) -> Any:
    path = checkout / "evals" / "lstm" / "data" / "lstm_full.txt"
    codes = [ord(c) for c in path.read_text(encoding="utf8")[:characters]]
    bits = math.ceil(math.log2(max(codes)))
    rng = np.random.default_rng(SEED)
    return {
        "main_params": rng.random((2 * layers, 4 * bits)).tolist(),
        "extra_params": rng.random((3, bits)).tolist(),
        "state": rng.random((2 * layers, bits)).tolist(),
        "sequence": [[float(b) for b in f"{code:0{bits}b}"] for code in codes],
    }


def ba(checkout: Path, number: int) -> Any:
    lines = _only(checkout / "evals" / "ba" / "data", f"ba{number}_*.txt").read_text().splitlines()
    n, m, p = map(int, lines[0].split())
    camera, point, weight, seen = ([float(x) for x in line.split()] for line in lines[1:5])
    return {"n": n, "m": m, "p": p, "cam": camera, "x": point, "w": weight[0], "feat": seen}


def ht(checkout: Path, variant: str, number: int) -> Any:
    folder = checkout / "evals" / "ht" / "data" / variant
    lines = _only(folder, f"hand{number}_*.txt").read_text().splitlines()
    count, size = map(int, lines[0].split()[:2])
    points = [line.split() for line in lines[1 : 1 + count]]
    rest = [[float(x) for x in line.split()] for line in lines[1 + count :]]
    us = rest[:count] if variant.startswith("complicated") else []
    return {
        "theta": [x for (x,) in rest[len(us) : len(us) + size]],
        "us": us,
        "data": {
            "model": hand(folder / "model"),
            "correspondences": [int(x[0]) for x in points],
            "points": [list(map(float, x[1:])) for x in points],
        },
    }


def hand(folder: Path) -> Any:
    """Return the model of a hand: bones with two transforms each, vertices, triangles."""
    bones = [line.split(":") for line in (folder / "bones.txt").read_text().splitlines()]
    vertices = [line.split(":") for line in (folder / "vertices.txt").read_text().splitlines()]
    weights = np.zeros((len(vertices), len(bones)))
    for row, fields in zip(weights, vertices, strict=True):
        for i in range(int(fields[8])):
            row[int(fields[9 + 2 * i])] = float(fields[10 + 2 * i])
    numbers = np.array([list(map(float, fields[2:34])) for fields in bones])
    triangles = (folder / "triangles.txt").read_text().splitlines()
    return {
        "bone_count": len(bones),
        "bone_names": [fields[0] for fields in bones],
        "parents": [int(fields[1]) for fields in bones],
        "base_relatives": numbers[:, :16].reshape(-1, 4, 4).tolist(),
        "inverse_base_absolutes": numbers[:, 16:].reshape(-1, 4, 4).tolist(),
        "base_positions": [[*map(float, fields[:3]), 1.0] for fields in vertices],
        "weights": weights.tolist(),
        "triangles": [list(map(int, line.split(":"))) for line in triangles],
        "is_mirrored": False,
    }


def _only(folder: Path, pattern: str) -> Path:
    found = next(folder.glob(pattern), None)
    if found is None:
        raise FileNotFoundError(f"there is no {folder / pattern}")
    return found


def saddle(checkout: Path) -> Any:
    return {"start": [1.0, 1.0]}


def particle(checkout: Path) -> Any:
    return {"w": 0.0}


SMALL = "complicated_small"
MODES = ("ff", "fr", "rf", "rr")
CASES: dict[str, tuple[Any, list[tuple[Any, ...]], tuple[str, ...]]] = {
    "lse": (lse, [(2500,), (20000,), (160000,)], ("primal", "gradient")),
    "llsq": (llsq, [(64, 128), (1024, 128), (16392, 128)], ("primal", "gradient")),
    "ode": (ode, [(1000, 1), (1000, 10), (10000, 10)], ("primal", "gradient")),
    "det": (det, [(5,), (7,), (9,)], ("primal", "gradient")),
    "kmeans": (kmeans, [(10, 1000, 8), (100, 1000, 8), (100, 10000, 16)], ("cost", "dir")),
    "gmm": (gmm, [(2, 5, 1000), (10, 25, 1000), (32, 25, 1000)], ("objective", "jacobian")),
    "lstm": (lstm, [(2, 128), (2, 1024)], ("objective", "jacobian")),
    "ba": (ba, [(1,), (2,)], ("objective", "jacobian")),
    "ht": (ht, [(SMALL, 1), (SMALL, 5), ("simple_big", 1)], ("objective", "jacobian")),
    "saddle": (saddle, [()], MODES),
    "particle": (particle, [()], MODES),
}
"""For each eval how an input is made, its sizes, and the functions."""
