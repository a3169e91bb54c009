"""Random graphs, random things done to their pages, and what Python says must be seen then."""

from __future__ import annotations

import random

import chainrule as cr
from chainrule import Value
from chainrule.engine.sweeps import topological_order
from chainrule.viz.explore.data import whole_graph

UNARY = (cr.tanh, cr.sigmoid, cr.sin, cr.exp, cr.relu, cr.softplus, cr.abs, cr.square, cr.gelu)
BINARY = (
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: a / b,
    lambda a, b: a * a + b,
    cr.maximum,
    cr.hypot,
    lambda a, b: cr.where(cr.less(a, b), a * b, b),
    lambda a, b: cr.softmax([a, b, 0.5])[1],
    lambda a, b: cr.sum([a, b, a]),
    lambda a, b: cr.dot([a, 2.0], [b, a], b),
    lambda a, b: 2.0 * a + b**3,
)


class Recipe:
    """A program of some leaves, chosen by a seed; it makes the same graph of any numbers."""

    def __init__(self, seed):
        rng = random.Random(seed)
        count = rng.randint(1, 4)
        self.start = [round(rng.uniform(-2, 2), 3) for _ in range(count)]
        self.steps = []
        for i in range(rng.randint(2, 9)):
            known = count + i
            a = known - 1 if rng.random() < 0.6 else rng.randrange(known)
            if rng.random() < 0.5:
                self.steps.append((rng.choice(UNARY), (a,)))
            else:
                self.steps.append((rng.choice(BINARY), (a, rng.randrange(known))))

    def build(self, numbers):
        """Return the root; its leaves are called x0, x1, ..."""
        things = [Value(x, f"x{i}") for i, x in enumerate(numbers)]
        for function, places in self.steps:
            things.append(function(*(things[i] for i in places)))
        return cr.sum(things)  # so that every leaf is in the graph


class Mirror:
    """What a page must show, computed by the engine alone."""

    def __init__(self, recipe):
        self.recipe, self.numbers = recipe, list(recipe.start)
        self.history, self.mode, self.seed = [], "reverse", 0
        self.rebuild()
        self.position = len(self.steps)

    def rebuild(self):
        self.root = self.recipe.build(self.numbers)
        self.nodes = whole_graph(self.root)
        self.leaves = [x for x in self.nodes if x.primitive is None]
        self.steps = self.reverse_steps() if self.mode == "reverse" else self.forward_steps()

    def reverse_steps(self):
        """Return (node, what, number) in the order of the sweep."""
        steps = [(x, "value", x.data) for x in self.nodes if x.primitive is not None]
        steps.append((self.root, "flow", 1.0))
        sums = {self.root: 1.0}
        for node in reversed(topological_order([self.root])):
            for parent, partial in zip(node.parents, node.partials, strict=True):
                sums[parent] = sums.get(parent, 0.0) + partial * sums[node]
                steps.append((parent, "flow", sums[parent]))
        self.root.backward()
        for node, number in sums.items():
            assert node.grad == number or number != number
        return steps

    def forward_steps(self):
        leaf = self.leaves[self.seed]
        steps, tangents = [(leaf, "flow", 1.0)], {leaf: 1.0}
        needed = set(topological_order([self.root]))
        for node in self.nodes:
            if node.primitive is not None:
                steps.append((node, "value", node.data))
            for parent, partial in zip(node.parents, node.partials, strict=True):
                if node in needed and parent in tangents:
                    term = partial * tangents[parent]
                    tangents[node] = tangents[node] + term if node in tangents else term
                    steps.append((node, "flow", tangents[node]))
        return steps

    def shown(self):
        """Return the values and the flows that are known; None where nothing is."""
        values = {x: x.data for x in self.leaves}
        flows = {}
        for node, what, number in self.steps[: self.position]:
            (values if what == "value" else flows)[node] = number
        return [values.get(x) for x in self.nodes], [flows.get(x) for x in self.nodes]

    def run(self, numbers):
        done = self.position == len(self.steps)
        self.numbers = numbers
        self.rebuild()
        self.position = len(self.steps) if done else min(self.position, len(self.steps))

    def act(self, action, *given):
        """Do what a person does on the page."""
        match action:
            case "type":
                self.history.append(list(self.numbers))
                numbers = list(self.numbers)
                numbers[given[0]] = given[1]
                self.run(numbers)
            case "descend":
                self.history.append(list(self.numbers))
                root = self.recipe.build(self.numbers)
                root.backward()
                leaves = [x for x in whole_graph(root) if x.primitive is None]
                moved = [x.data - given[0] * x.grad if x.has_grad else x.data for x in leaves]
                self.run(moved)
            case "undo" if self.history:
                self.run(self.history.pop())
            case "reset":
                self.history.append(list(self.numbers))
                self.run(list(self.recipe.start))
            case "go":
                self.position = max(0, min(len(self.steps), given[0]))
            case "step":
                self.position = max(0, min(len(self.steps), self.position + given[0]))
            case "mode":
                self.mode = given[0]
                self.rebuild()
                self.position = len(self.steps)
            case "seed":
                self.seed = given[0]
                self.act("mode", "forward")


def actions(mirror, rng, count):
    """Yield random actions, each after it was done to the mirror."""
    for _ in range(count):
        leaf = rng.randrange(len(mirror.leaves))
        choices = [
            ("type", leaf, rng.choice([round(rng.uniform(-3, 3), 2), 0.0, 1.5, -1e-3])),
            ("type", leaf, round(rng.uniform(-3, 3), 2)),
            ("descend", rng.choice([0.01, 0.1])),
            ("undo",),
            ("reset",),
            ("go", rng.randint(0, len(mirror.steps))),
            ("go", len(mirror.steps)),
            ("step", 1),
            ("step", -1),
            ("mode", rng.choice(["reverse", "reverse", "forward"])),
            ("seed", leaf),
        ]
        action = rng.choice(choices)
        mirror.act(*action)
        yield action
