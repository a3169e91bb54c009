"""How many of 42 programs, in the shapes and with the mistakes that people make, are named.

    python benchmarks/programs.py

28 are wrong and 14 right. *named*: the codes are those of the mistake, no others; *half*: they are
among others, or the layer alone is told; *not*: it is told to be wrong; *wrong lead*: another
mistake, or another layer, is told as certain. None has a line of glue.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from chainrule.checking import check_engine, diagnose
from tests.checking.programs import functions, objects, steps
from tests.checking.programs.wrong import WRONG

RIGHT = [
    functions.other_order, functions.columns, functions.one_by_one, functions.nnCostFunction,
    functions.backward_propagation, functions.loss_and_gradients, functions.two_lists,
    functions.pairs, functions.no_biases, steps.returns_new_weights, steps.OnlineRight,
    objects.StoresGradients, objects.TwoLayerNet, objects.Nielsen,
]  # fmt: skip


class Eager:
    """An engine whose nodes pass on at once, and again whenever something reaches them."""

    def __init__(self, data, parents=()):
        self.data, self.grad, self.parents = data, 0.0, parents

    def __add__(self, other):
        other = other if isinstance(other, Eager) else Eager(other)
        return Eager(self.data + other.data, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        other = other if isinstance(other, Eager) else Eager(other)
        return Eager(self.data * other.data, ((self, other.data), (other, self.data)))

    __radd__, __rmul__ = __add__, __mul__

    def backward(self, gradient=1.0):
        self.grad += gradient
        for parent, slope in self.parents:
            parent.backward(self.grad * slope)


def verdict(codes, wanted, report):
    """Return what a report is worth."""
    if any(set(codes) == set(one) for one in wanted):
        return "named"
    if any(set(codes) & set(one) for one in wanted):
        return "half"
    certain = [one.code for one in report.findings if one.confidence == "certain"]
    return "wrong lead" if certain or not codes else "half" if not wanted else "not"


def main():
    """Print a line for each program, and the counts."""
    counts, seconds = Counter(), []
    for program, stated, wanted in WRONG:
        start = time.process_time()
        report = diagnose(program, **stated)
        seconds.append(time.process_time() - start)
        said = verdict(report.codes, wanted, report)
        counts[said] += 1
        name = getattr(program, "__name__", "forward, backward")
        print(f"{said:12}{name:34}{' and '.join(report.codes)}")
    report = check_engine(Eager)
    said = "half" if any(code.startswith("unknown") for code in report.codes) else "named"
    counts[said] += 1
    print(f"{said:12}{'an engine':34}{' and '.join(report.codes)}")
    print(", ".join(f"{count} {said}" for said, count in counts.most_common()),
          f"of {counts.total()} wrong programs")  # fmt: skip
    right = sum(diagnose(program).ok for program in RIGHT)
    print(f"{right} of {len(RIGHT)} right programs are told to be right")
    print(f"{sorted(seconds)[len(seconds) // 2]:.2f} s of the processor in the median, "
          f"{max(seconds):.2f} s at most")  # fmt: skip


if __name__ == "__main__":
    main()
