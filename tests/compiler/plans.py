"""What a plan reads and writes, step by step, and a proof that it reads what it means to."""

import math

import numpy as np

from chainrule.compiler.lowering import lower
from chainrule.compiler.plan import BLOCK, SUMS

from . import families

OVER_ITS_OPERAND = ("apply", "one_minus", "one_minus_square", "copy", "flat")
ADDED_TO = ("add", "scatter_add", "spread")
NARROW = ("segment_sum", "maximum", "minimum", "logsumexp")


def both(arrays):
    """Yield the plans of a program, each beside one in which no place is used twice."""
    count, wanted = len(arrays.parameters), arrays.wanted
    yield lower(arrays.program, count), lower(arrays.program, count, again=False)
    if arrays.program.cost is not None:
        yield (
            lower(arrays.program, count, wanted),
            lower(arrays.program, count, wanted, again=False),
        )


def addresses(operand, extents):
    """Return the addresses of all elements of an operand."""
    found = np.array(operand.offset)
    for extent, stride in zip(extents, operand.strides, strict=True):
        found = np.add.outer(found, np.arange(extent) * stride)
    return found.ravel()


def accesses(plan, step):
    """Return what a step writes and what it reads, as lists of (space, addresses)."""
    code, extents, operands = step.code, step.extents, step.operands
    if code in ("flat", "call"):
        return _of_rows(plan, step)
    result, *args = operands
    reads = [(x.space, addresses(x, extents)) for x in args]
    if code in NARROW and step.detail:
        extents = (*extents[:-1], len(plan.tables[step.detail[0]]))
    written = addresses(result, extents)
    if code == "gather":
        (x,) = args
        table = plan.tables[step.detail[0]]
        reads = [(x.space, x.offset + table * x.strides[0])]
    elif code in ("scatter", "scatter_add"):
        written = result.offset + plan.tables[step.detail[0]] * result.strides[0]
    elif code in ("pick", "spread"):
        count, stride = step.detail
        table = args[1] if code == "pick" else result
        rows = np.arange(count)[:, None] * stride
        columns = np.arange(extents[-1]) * table.strides[-1]
        all_of_it = (table.offset + rows + columns).ravel()
        index = (
            args[0].space,
            addresses(args[0]._replace(strides=args[0].strides[:-1]), extents[:-1]),
        )
        if code == "pick":
            reads = [index, (table.space, all_of_it)]
        else:
            written, reads = all_of_it, [index, reads[1]]
    if code in ADDED_TO and result.space != SUMS:
        reads.append((result.space, written))
    return [(result.space, written)], reads


def _of_rows(plan, step):
    table = plan.tables[step.detail[-1]]
    rows = table.reshape(1, -1) if step.code == "call" else table[:, 1:]
    places = [[(BLOCK, x) if x >= 0 else (0, ~x) for x in row] for row in rows.tolist()]
    return [p[0] for p in places], [x for p in places for x in p[1:]]


def prove(plan, beside):
    """Prove that *plan* reads what *beside* reads, a plan of the same steps without reuse.

    It is walked as if it ran twice, each time over two blocks.
    """
    holds = {space: {} for space in range(3)}  # for each place, the place beside it it stands for

    def write(space, ours, theirs):
        assert len(ours) == len(theirs)
        holds[space].update(zip(ours.tolist(), theirs.tolist(), strict=True))

    def read(space, ours, theirs):
        found = [holds[space].get(x) for x in ours.tolist()]
        assert found == theirs.tolist(), (space, ours, theirs)

    def walk(steps, theirs):
        for step, other in zip(steps, theirs, strict=True):
            assert (step.code, step.extents, step.detail) == (other[0], other[1], other[3])
            writes, reads = accesses(plan, step)
            writes_beside, reads_beside = accesses(beside, other)
            for (space, mine), (_, its) in zip(reads, reads_beside, strict=True):
                read(space, mine, its)
            for (space, mine), (_, its) in zip(writes, writes_beside, strict=True):
                if step.code not in OVER_ITS_OPERAND + ADDED_TO:
                    for there, other_reads in reads:
                        assert there != space or not set(mine) & set(other_reads), step
                write(space, mine, its)

    given = np.arange(len(plan.still))  # constants are written once, before all runs
    write(0, given, given)
    results = {op.offset for op in plan.outputs if op.space == 0}
    for _ in range(2):
        everything = np.arange(plan.sums)
        write(SUMS, everything, everything)
        walk(plan.before, beside.before)
        for _ in range(2):
            for (ours, size), (theirs, _) in zip(plan.inputs, beside.inputs, strict=True):
                write(BLOCK, np.arange(ours, ours + size), np.arange(theirs, theirs + size))
            walk(plan.each, beside.each)
            for mine, its in zip(plan.outputs, beside.outputs, strict=True):
                read(mine.space, np.array([mine.offset]), np.array([its.offset]))
        walk(plan.after, beside.after)
    assert results <= set(range(len(plan.still)))
    assert plan.block <= beside.block
    assert len(plan.still) <= len(beside.still)
    assert all(stop <= plan.block for stop in (a + n for a, n in plan.inputs))


def sizes(plan):
    """Return how many steps a plan has, and how many numbers its largest one touches."""
    steps = [*plan.before, *plan.each, *plan.after]
    return len(steps), max((math.prod(step.extents) for step in steps), default=0)


# --- programs of every family --------------------------------------------------------------------


def programs():
    """Yield names, functions, and a batch for each."""
    import chainrule as cr

    rng = families.random.Random(1)

    def batch(*shape):
        return np.random.default_rng(len(shape)).normal(size=shape)

    for i, activation in enumerate(families.ACTIVATIONS):
        run, thetas = families.mlp(rng, (4, 5, 3), families.NEURONS[i % 5], activation)

        def loss(x, y, run=run, thetas=thetas):
            return families.squared(run(x), y) + families.penalty(thetas)

        yield f"network {i}", loss, (batch(7, 4), batch(7, 3))
    for measure in families.LOSSES:
        run, _ = families.mlp(rng, (4, 5, 3), activation=cr.sigmoid)

        def loss(x, y, run=run, measure=measure):
            return measure(run(x), y)

        yield measure.__name__, loss, (batch(5, 4), np.eye(3)[[0, 1, 2, 0, 1]])
    yield "convolution", families.convolution(rng, 2), (batch(5, 12),)
    yield "recurrent", families.recurrent(rng, 2, 3), (batch(5, 4, 2),)
    yield "attention", families.attention(rng, 4, 2, 8), (batch(3, 5, 4), batch(3, 5, 4) + 1.0)
    table = families.values(rng, 5, 3)
    yield (
        "table",
        lambda i, j: cr.dot(cr.take(table, i), cr.take(table, j)),
        (np.arange(6) % 5.0, np.arange(6)[::-1] % 4.0),
    )
    w = families.values(rng, 6)
    yield (
        "uneven",
        lambda x: (
            cr.sum([cr.logsumexp([x[k] * w[k] for k in range(n)]) for n in (2, 3, 5)])
            + cr.sum([cr.maximum(*[x[k] + w[k] for k in range(n)]) for n in (2, 4)])
        ),
        (batch(5, 6),),
    )
    rows = families.values(rng, 3, 4)

    def chosen(x):
        z = [cr.dot(row, x) for row in rows]
        return cr.sum([cr.where(cr.less(0.0, v), v * v, cr.tanh(v)) for v in z])

    yield "choices", chosen, (batch(5, 4),)
    yield "choices at infinity", chosen, (np.array([[1.0, 2.0, np.inf, 0.5], [-np.inf] * 4]),)
    for seed in range(12):
        leaves = families.values(families.random.Random(seed), 3)

        def drawn(x, seed=seed, leaves=leaves):
            x = [v if isinstance(v, cr.Value) else cr.Value(v) for v in x]
            return families.random_graph(seed, 5 + 4 * seed, leaves, x)

        yield f"random {seed}", drawn, (batch(4, 3),)
