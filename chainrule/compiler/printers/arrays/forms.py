"""Careful forms of what is not one function of an array library, as pure functions.

They write into nothing and do not branch on data, so JAX can trace them; all of them are in the
words of :mod:`.words`.  What NumPy's own forms do by a branch or in place is done here by a choice
of each number.  :mod:`compiler.forms` has the quicker ones, for NumPy alone; a test compares them.

A softmax and its relatives are of the last axis or, given *stretches*, of each of its stretches:
the places of each with the last one repeated, those places followed by that of a 0, and which
stretch each element is in.
"""

from __future__ import annotations

from typing import Any

import numpy as xp

from .words import (
    concat,
    counting,
    cumulative,
    full,
    largest,
    number,
    segment_sum,
    smallest,
    spread,
    take,
    together,
    total,
    turned,
    whole,
)

# --- element by element ---------------------------------------------------------------------------


def step(x: Any) -> Any:
    return xp.where(x == x, number(x > 0.0), x)


def sign(x: Any) -> Any:
    return xp.where(x == x, number(x > 0.0) - number(x < 0.0), x)


def sigmoid(z: Any) -> Any:
    e = xp.exp(-xp.abs(z))  # does not overflow
    return xp.where(z >= 0.0, 1.0, e) / (1.0 + e)


def one_minus_square(a: Any, z: Any) -> Any:
    # 1 - a**2 for a = tanh(z), with all its digits also where a is almost 1 or -1
    rest = 1.0 - xp.square(a)
    e = xp.exp(-2.0 * xp.abs(z))
    return xp.where(rest < 0.001, 4.0 * e / xp.square(1.0 + e), rest)


def sigmoid_minus(z: Any, y: Any) -> Any:
    # sigmoid(z) - y, with all its digits also where both are almost 1
    e = xp.exp(-xp.abs(z))
    above, below = xp.where(z >= 0.0, 1.0, e), xp.where(z >= 0.0, e, 1.0)
    return ((1.0 - y) * above - y * below) / (1.0 + e)


def positive(x: Any) -> Any:
    # x + 0.0: a negative zero becomes a positive one
    return xp.where(x == 0.0, 0.0, x)


def root(x: Any) -> Any:
    # x ** 0.5, which is inf at -inf, unlike the square root
    return xp.where(x == -xp.inf, xp.inf, xp.sqrt(positive(x)))


def power(x: Any, p: Any) -> Any:
    return xp.where(p == 0.5, root(x), x**p)


def real_cbrt(x: Any) -> Any:
    # of a library without one: a power, and one step of Newton's that makes it exact
    size = xp.abs(x)
    y = size ** (1.0 / 3.0)
    better = y - (y - size / xp.square(y)) / 3.0
    found = xp.where((size > 0.0) & (size < xp.inf), better, y)
    return xp.where(x > 0.0, found, xp.where(x == 0.0, x, -found))


# --- along the last axis --------------------------------------------------------------------------


def gathered(x: Any, places: Any) -> Any:
    some = take(x, xp.reshape(places, (-1,)))
    return xp.reshape(some, (*x.shape[:-1], *places.shape))


def highest(x: Any, stretches: Any = None) -> Any:
    return largest(x) if stretches is None else largest(gathered(x, stretches[0]))[..., 0]


def lowest(x: Any, stretches: Any = None) -> Any:
    return smallest(x) if stretches is None else smallest(gathered(x, stretches[0]))[..., 0]


def added(x: Any, stretches: Any = None) -> Any:
    if stretches is None:
        return total(x, -1, True)
    return segment_sum(x, stretches[2], stretches[1])


def repeated(x: Any, stretches: Any = None) -> Any:
    return x if stretches is None else take(x, stretches[2])


def softmax(z: Any, stretches: Any = None) -> Any:
    top = repeated(highest(z, stretches), stretches)
    e = xp.exp(z - top)
    # An infinite logit takes all; where all are -inf, none is right.
    one = xp.where(top == -xp.inf, xp.nan, full((), 1.0))
    e = xp.where((z == top) & (xp.abs(top) == xp.inf), one, e)
    return e / repeated(added(e, stretches), stretches)


def logsumexp(z: Any, stretches: Any = None) -> Any:
    top = highest(z, stretches)
    tops = repeated(top, stretches)
    ties = added(number(z == tops), stretches)
    rest = added(xp.where(z == tops, 0.0, xp.exp(z - tops)), stretches)
    return xp.where(xp.isfinite(top), top + xp.log1p(rest + (ties - 1.0)), top)


def logsumexp_slopes(z: Any, stretches: Any = None) -> Any:
    # The softmax, but nothing responds where all is -inf.
    nothing = repeated(highest(z, stretches), stretches) == -xp.inf
    return xp.where(nothing, 0.0, softmax(z, stretches))


def before_and_after(x: Any) -> Any:
    # the sum of all others along the last axis, added up from both of its ends
    nothing = full((*x.shape[:-1], 1), 0.0)
    before = concat([nothing, cumulative(x)[..., :-1]], -1)
    after = concat([nothing, cumulative(turned(x))[..., :-1]], -1)
    return before + turned(after)


def sum_of_others(x: Any, stretches: Any = None) -> Any:
    # of the same row or stretch
    if stretches is None:
        return before_and_after(x)
    ended = concat([x, full((*x.shape[:-1], 1), 0.0)], -1)
    rows = before_and_after(gathered(ended, stretches[1]))
    flat = xp.reshape(rows, (*x.shape[:-1], rows.shape[-1] * rows.shape[-2]))
    return take(flat, stretches[3])


def softmax_pullback(p: Any, g: Any, stretches: Any = None) -> Any:
    def summed(x: Any) -> Any:
        return repeated(added(x, stretches), stretches)

    gp, sure = g * p, p > 0.5
    sums = summed(gp)
    others = summed(xp.where(sure, 0.0, p))  # of the shares beside a large one
    careful = number((p > 0.999) & (others > 0.0)) + number(~xp.isfinite(sums))
    # Without subtracting from a p near 1, or inf from inf: p_j (g_j (1 - p_j) - sum of the other
    # g_k p_k) in those rows.
    own = g * xp.where(sure, others, 1.0 - p)
    return p * xp.where(summed(careful) > 0.0, own - sum_of_others(gp, stretches), g - sums)


def surprisals(z: Any) -> Any:
    # -log(softmax(z)) along the last axis, with all digits however sure it is
    top = largest(z)
    # An infinite logit takes all; where all are -inf, none is right.
    none = xp.where(top == -xp.inf, xp.nan, full((), 0.0))
    below = xp.where((z == top) & (xp.abs(top) == xp.inf), none, top - z)
    first = below == 0.0
    rest = total(xp.where(first, 0.0, xp.exp(-below)), -1, True)
    return below + xp.log1p(rest + (total(number(first), -1, True) - 1.0))


def cross_entropy(z: Any, y: Any) -> Any:
    # -sum(y * log(softmax(z))); a target of 0 wins over an infinite surprise
    s = surprisals(z)
    return total(xp.where((y == 0.0) & (xp.abs(s) == xp.inf), 0.0, y * s), -1, True)


def softmax_minus(z: Any, y: Any) -> Any:
    # softmax(z) - y, with all its digits also where both are almost 1
    p, whole_of_y = softmax(z), total(y, -1, True)
    sure = p > 0.9
    rest = total(xp.where(sure, 0.0, p), -1, True)
    return xp.where(sure, (whole_of_y - y) * p - y * rest, p * whole_of_y - y)


def one_hot(which: Any, count: Any) -> Any:
    return number(which == counting(count))


# --- rows of a table ------------------------------------------------------------------------------


def pick(index: Any, table: Any) -> Any:
    # nan where the index is not that of a row
    count = table.shape[0]
    there = (index >= 0.0) & (index < count) & (index == xp.floor(index))
    rows = whole(xp.where(there, index, 0.0))
    found = take(table, xp.reshape(rows, (-1,)), 0)
    found = xp.reshape(found, (*index.shape, table.shape[-1]))
    return xp.where(there[..., None], found, xp.nan)


def spread_rows(index: Any, delta: Any, count: Any) -> Any:
    # the transpose of pick
    rows = xp.reshape(whole(xp.broadcast_to(index, delta.shape[:-1])), (-1,))
    return spread(rows, xp.reshape(delta, (-1, delta.shape[-1])), count)


def linked_product(a: Any, b: Any, mask: Any) -> Any:
    # a @ b; where the mask of a is 0 there is no term, even if b is infinite or nan there.  With
    # the infinities of b as 1 or -1 this is a product; which sums are infinite, or nan, is counted.
    linked = xp.broadcast_to(mask != 0.0, a.shape)
    a = xp.where(linked, a, 0.0)
    endless = xp.abs(b) == xp.inf
    ones = xp.where(endless, sign(b), full((), 0.0))
    known = xp.where(endless, ones, xp.where(b == b, b, 0.0))
    difference, both = step_sign(a) @ ones, xp.abs(step_sign(a)) @ xp.abs(ones)
    wrong = number(linked) @ number(b != b) + number(linked & (a == 0.0)) @ number(endless)
    up = xp.where(both + difference > 0.0, xp.inf, full((), 0.0))
    down = xp.where(both - difference > 0.0, -xp.inf, full((), 0.0))
    return xp.where(wrong > 0.0, xp.nan, a @ known + (up + down))


def step_sign(x: Any) -> Any:
    # the sign, of which that of nan is 0
    return number(x > 0.0) - number(x < 0.0)


# --- many arguments -------------------------------------------------------------------------------


def stacked(xs: Any) -> Any:
    return concat([x[..., None] for x in together(xs)], -1)


def softmax_entry(k: Any, *xs: Any) -> Any:
    return softmax(stacked(xs))[..., k]


def softmax_rest(k: Any, *xs: Any) -> Any:
    p = softmax(stacked(xs))
    return total(xp.where(counting(len(xs)) == k, 0.0, p), -1)


def chosen_of(k: Any, xs: Any) -> Any:
    # entry k of the last axis of xs, nan if there is none
    among = k[..., None] == counting(xs.shape[-1])
    found = total(xp.where(among, xs, 0.0), -1)
    return xp.where(total(number(among), -1) > 0.0, found, xp.nan)


def take_entry(k: Any, *xs: Any) -> Any:
    return chosen_of(k, stacked(xs))


def cross_entropy_entry(k: Any, *zs: Any) -> Any:
    return chosen_of(k, surprisals(stacked(zs)))


def soft_cross_entropy(*args: Any) -> Any:
    half = len(args) // 2
    return cross_entropy(stacked(args[half:]), stacked(args[:half]))[..., 0]
