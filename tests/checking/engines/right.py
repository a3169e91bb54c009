"""Engines as people write them, all of them right, in different styles; each is the text of a file.

Nothing is shared with the checker. The first three are those in which mistakes are planted.
"""

from __future__ import annotations

CLOSURES = """
import math

class Value:
    def __init__(self, data, _children=(), _op=''):
        self.data = data
        self.grad = 0.0
        self._backward = lambda: None
        self._prev = _children
        self._op = _op

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other), '+')
        def _backward():
            self.grad += out.grad  # add
            other.grad += out.grad  # add 2
        out._backward = _backward
        return out  # add

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other), '*')
        def _backward():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad
        out._backward = _backward
        return out

    def __pow__(self, other):
        assert isinstance(other, (int, float)), "only supporting int/float powers for now"
        out = Value(self.data ** other, (self,), '**')
        def _backward():
            self.grad += (other * self.data ** (other - 1)) * out.grad
        out._backward = _backward
        return out

    def relu(self):
        out = Value(0 if self.data < 0 else self.data, (self,), 'ReLU')
        def _backward():
            self.grad += (out.data > 0) * out.grad
        out._backward = _backward
        return out

    def tanh(self):
        t = math.tanh(self.data)
        out = Value(t, (self,), 'tanh')
        def _backward():
            self.grad += (1 - t ** 2) * out.grad
        out._backward = _backward
        return out

    def exp(self):
        out = Value(math.exp(self.data), (self,), 'exp')
        def _backward():
            self.grad += out.data * out.grad
        out._backward = _backward
        return out

    def log(self):
        out = Value(math.log(self.data), (self,), 'log')
        def _backward():
            self.grad += (1 / self.data) * out.grad
        out._backward = _backward
        return out

    def backward(self):
        topo, visited, stack = [], set(), [(self, False)]
        while stack:
            v, done = stack.pop()
            if done:
                topo.append(v)
            elif v not in visited:
                visited.add(v)
                stack.append((v, True))
                for child in v._prev:
                    stack.append((child, False))
        for v in topo:
            if v._prev:
                v.grad = 0.0
        self.grad = 1.0
        for v in reversed(topo):
            v._backward()

    def zero_grad(self):
        self.grad = 0.0

    def __neg__(self):
        return self * -1

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return other + (-self)

    def __rmul__(self, other):
        return self * other

    def __truediv__(self, other):
        return self * other ** -1

    def __rtruediv__(self, other):
        return other * self ** -1
"""
"""Closures that are called in reverse topological order, the other operations made of three."""

LOCAL = """
import math
import sys

sys.setrecursionlimit(20000)

class Value:
    __slots__ = ('data', 'grad', '_children', '_local_grads')

    def __init__(self, data, children=(), local_grads=()):
        self.data = data
        self.grad = 0
        self._children = children
        self._local_grads = local_grads

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __sub__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data - other.data, (self, other), (1, -1))

    def __truediv__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data / other.data, (self, other),
                     (1 / other.data, -self.data / other.data ** 2))

    def __pow__(self, other):
        if isinstance(other, Value):
            y = self.data ** other.data
            return Value(y, (self, other),
                         (other.data * self.data ** (other.data - 1), y * math.log(self.data)))
        return Value(self.data ** other, (self,), (other * self.data ** (other - 1),))

    def __neg__(self):
        return Value(-self.data, (self,), (-1,))

    def __abs__(self):
        return Value(abs(self.data), (self,), (1 if self.data > 0 else -1,))

    def __radd__(self, other): return self + other
    def __rmul__(self, other): return self * other
    def __rsub__(self, other): return Value(other - self.data, (self,), (-1,))
    def __rtruediv__(self, other): return Value(other / self.data, (self,),
                                                (-other / self.data ** 2,))

    def exp(self): return Value(math.exp(self.data), (self,), (math.exp(self.data),))
    def log(self): return Value(math.log(self.data), (self,), (1 / self.data,))
    def relu(self): return Value(max(0, self.data), (self,), (float(self.data > 0),))
    def sin(self): return Value(math.sin(self.data), (self,), (math.cos(self.data),))
    def cos(self): return Value(math.cos(self.data), (self,), (-math.sin(self.data),))
    def sqrt(self): return Value(math.sqrt(self.data), (self,), (0.5 / math.sqrt(self.data),))

    def sigmoid(self):
        x = self.data
        s = 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
        return Value(s, (self,), (s * (1 - s),))

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, (self,), (1 - t * t,))

    def backward(self):
        topo = []
        visited = set()
        def build_topo(v):
            if v not in visited:
                visited.add(v)
                for child in v._children:
                    build_topo(child)
                topo.append(v)
        build_topo(self)
        for v in topo:
            v.grad = 0 if v._children else v.grad
        self.grad = 1
        for v in reversed(topo):
            for child, local_grad in zip(v._children, v._local_grads):
                child.grad += local_grad * v.grad

    def zero_grad(self):
        self.grad = 0
"""
"""Local gradients beside the children, every operation a node of its own, a recursive order."""

TAPE = """
import math

class Var:
    tape = []

    def __init__(self, value, inputs=(), partials=()):
        self.value = value
        self.grad = 0.0
        self.inputs, self.partials = inputs, partials
        if inputs:
            Var.tape.append(self)

    @staticmethod
    def wrap(x):
        return x if isinstance(x, Var) else Var(float(x))

    def __add__(self, other):
        other = Var.wrap(other)
        return Var(self.value + other.value, (self, other), (1.0, 1.0))

    __radd__ = __add__

    def __sub__(self, other):
        other = Var.wrap(other)
        return Var(self.value - other.value, (self, other), (1.0, -1.0))

    def __rsub__(self, other):
        return Var.wrap(other) - self

    def __mul__(self, other):
        other = Var.wrap(other)
        return Var(self.value * other.value, (self, other), (other.value, self.value))

    __rmul__ = __mul__

    def __truediv__(self, other):
        other = Var.wrap(other)
        a, b = self.value, other.value
        return Var(a / b, (self, other), (1.0 / b, -a / b ** 2))

    def __rtruediv__(self, other):
        return Var.wrap(other) / self

    def __neg__(self):
        return Var(-self.value, (self,), (-1.0,))

    def __pow__(self, n):
        if isinstance(n, Var):
            return (self.log() * n).exp()
        return Var(self.value ** n, (self,), (n * self.value ** (n - 1),))

    def exp(self):
        y = math.exp(self.value)
        return Var(y, (self,), (y,))

    def log(self):
        return Var(math.log(self.value), (self,), (1.0 / self.value,))

    def sqrt(self):
        return self ** 0.5

    def square(self):
        return self * self

    def sin(self):
        return Var(math.sin(self.value), (self,), (math.cos(self.value),))

    def cos(self):
        return Var(math.cos(self.value), (self,), (-math.sin(self.value),))

    def tanh(self):
        t = math.tanh(self.value)
        return Var(t, (self,), (1.0 - t * t,))

    def sigmoid(self):
        y = 0.5 * (1.0 + math.tanh(0.5 * self.value))
        return Var(y, (self,), (y * (1.0 - y),))

    def softplus(self):
        x = self.value
        return Var(max(x, 0.0) + math.log1p(math.exp(-abs(x))), (self,),
                   (0.5 * (1.0 + math.tanh(0.5 * x)),))

    def relu(self):
        return Var(max(self.value, 0.0), (self,), (1.0 if self.value > 0 else 0.0,))

    def backward(self):
        for node in Var.tape:
            node.grad = 0.0
        self.grad = 1.0
        for node in reversed(Var.tape):
            for parent, partial in zip(node.inputs, node.partials):
                parent.grad += partial * node.grad

    def zero_grad(self):
        self.grad = 0.0
"""
"""A list on which every node is recorded, walked from its end."""

PULLBACKS = '''
import math

class Scalar:
    """Each node has a function from its cotangent to those of its parents; a queue by age."""
    count = 0

    def __init__(self, value, parents=(), pullback=None):
        Scalar.count += 1
        self.value, self.parents, self.pullback = value, parents, pullback
        self.gradient, self.age = 0.0, Scalar.count

    def __add__(self, other):
        if isinstance(other, Scalar):
            return Scalar(self.value + other.value, (self, other), lambda g: (g, g))
        return Scalar(self.value + other, (self,), lambda g: (g,))

    def __radd__(self, other):
        return Scalar(other + self.value, (self,), lambda g: (g,))

    def __mul__(self, other):
        if isinstance(other, Scalar):
            return Scalar(self.value * other.value, (self, other),
                          lambda g: (g * other.value, g * self.value))
        return Scalar(self.value * other, (self,), lambda g: (g * other,))

    def __rmul__(self, other):
        return Scalar(other * self.value, (self,), lambda g: (other * g,))

    def __neg__(self):
        return Scalar(-self.value, (self,), lambda g: (-g,))

    def __sub__(self, other):
        return self + -other

    def __rsub__(self, other):
        return -self + other

    def sin(self):
        return Scalar(math.sin(self.value), (self,), lambda g: (g * math.cos(self.value),))

    def cos(self):
        return Scalar(math.cos(self.value), (self,), lambda g: (-g * math.sin(self.value),))

    def backprop(self):
        import heapq
        cotangents, nodes, heap = {id(self): 1.0}, {id(self): self}, [(-self.age, id(self))]
        while heap:
            _, key = heapq.heappop(heap)
            node, g = nodes.pop(key), cotangents.pop(key)
            node.gradient += g
            if node.pullback is None:
                continue
            for parent, more in zip(node.parents, node.pullback(g)):
                if id(parent) not in nodes:
                    nodes[id(parent)] = parent
                    heapq.heappush(heap, (-parent.age, id(parent)))
                cotangents[id(parent)] = cotangents.get(id(parent), 0.0) + more
'''

FUNCTIONS = '''
import math

class Function:
    def __init__(self, *inputs):
        self.inputs = inputs
        self.saved = [tensor.data for tensor in inputs]

class Add(Function):
    def forward(self): return self.saved[0] + self.saved[1]
    def backward(self, grad): return grad, grad

class Mul(Function):
    def forward(self): return self.saved[0] * self.saved[1]
    def backward(self, grad): return grad * self.saved[1], grad * self.saved[0]

class Pow(Function):
    def forward(self): return self.saved[0] ** self.saved[1]
    def backward(self, grad):
        a, b = self.saved
        return grad * b * a ** (b - 1), (grad * a ** b * math.log(a) if a > 0 else 0.0)

class Log(Function):
    def forward(self): return math.log(self.saved[0])
    def backward(self, grad): return (grad / self.saved[0],)

class Sigmoid(Function):
    def forward(self):
        self.out = 0.5 + 0.5 * math.tanh(self.saved[0] / 2)
        return self.out
    def backward(self, grad): return (grad * self.out * (1 - self.out),)

class Tensor:
    """As a small PyTorch: operations are classes, leaves must want a gradient."""

    def __init__(self, data, requires_grad=False, creator=None):
        self.data, self.requires_grad, self.creator, self.grad = data, requires_grad, creator, None

    def _apply(self, kind, *others):
        wrapped = [o if isinstance(o, Tensor) else Tensor(o) for o in others]
        function = kind(self, *wrapped)
        return Tensor(function.forward(), any(t.requires_grad for t in function.inputs), function)

    def __add__(self, other): return self._apply(Add, other)
    def __mul__(self, other): return self._apply(Mul, other)
    def __pow__(self, other): return self._apply(Pow, other)
    def __neg__(self): return self * -1.0
    def __sub__(self, other): return self + other * -1.0
    def __truediv__(self, other):
        return self * (other ** -1.0 if isinstance(other, Tensor) else 1.0 / other)
    __radd__ = __add__
    __rmul__ = __mul__
    def log(self): return self._apply(Log)
    def sigmoid(self): return self._apply(Sigmoid)
    def square(self): return self * self

    def backward(self, grad=None):
        order, seen, stack = [], set(), [(self, 0)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, 1))
                stack += [(t, 0) for t in (node.creator.inputs if node.creator else ())]
        grads = {id(self): 1.0 if grad is None else grad}
        for node in reversed(order):
            g = grads.get(id(node), 0.0)
            if node.creator is None:
                if node.requires_grad:
                    node.grad = g if node.grad is None else node.grad + g
                continue
            for t, more in zip(node.creator.inputs, node.creator.backward(g)):
                grads[id(t)] = grads.get(id(t), 0.0) + more

    def zero_grad(self):
        self.grad = None
'''

DATACLASS = """
from dataclasses import dataclass, field
import math

@dataclass(eq=False)
class Node:
    val: float
    edges: list = field(default_factory=list)
    grad: float = 0.0

    def __add__(self, other):
        other = lift(other)
        return Node(self.val + other.val, [(self, 1.0), (other, 1.0)])

    def __sub__(self, other):
        other = lift(other)
        return Node(self.val - other.val, [(self, 1.0), (other, -1.0)])

    def __mul__(self, other):
        other = lift(other)
        return Node(self.val * other.val, [(self, other.val), (other, self.val)])

    def __truediv__(self, other):
        other = lift(other)
        return Node(self.val / other.val,
                    [(self, 1.0 / other.val), (other, -self.val / other.val ** 2)])

    __radd__ = __add__
    __rmul__ = __mul__
    def __rsub__(self, other): return lift(other) - self
    def __rtruediv__(self, other): return lift(other) / self
    def __abs__(self): return self if self.val >= 0 else self * -1.0
    def relu(self): return self if self.val > 0 else self * 0.0
    def sqrt(self):
        root = math.sqrt(self.val)
        return Node(root, [(self, 0.5 / root)])
    def exp(self): return Node(e := math.exp(self.val), [(self, e)])

    def backward(self):
        uses, reached = {}, [self]
        for node in reached:
            for parent, _ in node.edges:
                if parent not in uses:
                    reached.append(parent)
                uses[parent] = uses.get(parent, 0) + 1
        for node in reached:
            node.grad = 0.0
        self.grad, ready = 1.0, [self]
        while ready:
            node = ready.pop()
            for parent, local in node.edges:
                parent.grad += local * node.grad
                uses[parent] -= 1
                if not uses[parent]:
                    ready.append(parent)

def lift(x):
    return x if isinstance(x, Node) else Node(float(x))
"""
"""It counts how many uses of a node are still to come, and begins every pass from zero."""

ARRAYS = """
import numpy as np

class Value:
    def __init__(self, data, _children=()):
        self.data = np.float64(data)
        self.grad = np.zeros(())
        self._prev = set(_children)
        self._backward = lambda: None

    def _wrap(self, other):
        return other if isinstance(other, Value) else Value(other)

    def __add__(self, other):
        other = self._wrap(other)
        out = Value(self.data + other.data, (self, other))
        def back():
            self.grad = self.grad + out.grad
            other.grad = other.grad + out.grad
        out._backward = back
        return out

    def __mul__(self, other):
        other = self._wrap(other)
        out = Value(self.data * other.data, (self, other))
        def back():
            self.grad = self.grad + other.data * out.grad
            other.grad = other.grad + self.data * out.grad
        out._backward = back
        return out

    def tanh(self):
        out = Value(np.tanh(self.data), (self,))
        def back():
            self.grad = self.grad + (1 - np.tanh(self.data) ** 2) * out.grad
        out._backward = back
        return out

    def softplus(self):
        out = Value(np.logaddexp(self.data, 0.0), (self,))
        def back():
            self.grad = self.grad + out.grad / (1 + np.exp(-self.data))
        out._backward = back
        return out

    def __radd__(self, other): return self + other
    def __rmul__(self, other): return self * other
    def __neg__(self): return self * -1
    def __sub__(self, other): return self + -1 * other

    def backward(self):
        topo, seen, stack = [], set(), [iter((self,))]
        path = []
        while stack:
            node = next(stack[-1], None)
            if node is None:
                stack.pop()
                if path:
                    topo.append(path.pop())
            elif node not in seen:
                seen.add(node)
                path.append(node)
                stack.append(iter(node._prev))
        for node in topo:
            node.grad = np.zeros(()) if node._prev else node.grad
        self.grad = np.ones(())
        for node in topo[::-1]:
            node._backward()

    def zero_grad(self):
        self.grad = np.zeros(())
"""
"""NumPy's numbers, and operands in a set, which is no harm where the closures hold them."""

BY_PATHS = '''
import sys

sys.setrecursionlimit(20000)

class Value:
    """Every path is walked with its own product: slow on deep graphs, and right."""

    def __init__(self, data):
        self.data, self.grad, self.parents = data, 0.0, []

    def made(self, data, *parents):
        out = Value(data)
        out.parents = parents
        return out

    def __add__(self, other):
        if not isinstance(other, Value):
            raise NotImplementedError("only Values for now")
        return self.made(self.data + other.data, (self, 1.0), (other, 1.0))

    def __mul__(self, other):
        if not isinstance(other, Value):
            raise NotImplementedError("only Values for now")
        return self.made(self.data * other.data, (self, other.data), (other, self.data))

    def backward(self, above=1.0):
        self.grad += above
        for parent, local in self.parents:
            parent.backward(above * local)
'''
"""Nodes alone: no number on either side, no other operation."""

HIGHER = '''
import math

class Value:
    """Its gradients are Values again, so that they can be differentiated."""

    def __init__(self, data, parents=()):
        self.data, self.parents, self.grad = data, parents, None

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, ((self, lambda g: g), (other, lambda g: g)))

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data,
                     ((self, lambda g: g * other), (other, lambda g: g * self)))

    def __pow__(self, n):
        return Value(self.data ** n, ((self, lambda g: g * (self ** (n - 1) * n)),))

    def exp(self):
        return Value(math.exp(self.data), ((self, lambda g: g * self.exp()),))

    def log(self):
        return Value(math.log(self.data), ((self, lambda g: g * self ** -1),))

    def __neg__(self): return self * -1
    def __sub__(self, other): return self + (-other)
    def __rsub__(self, other): return (-self) + other
    def __truediv__(self, other): return self * other ** -1
    def __rtruediv__(self, other): return self ** -1 * other
    def sqrt(self): return self ** 0.5
    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        order, stack, state = [], [self], {}
        while stack:
            node = stack[-1]
            if id(node) not in state:
                state[id(node)] = "open"
                stack += [parent for parent, _ in node.parents if id(parent) not in state]
            else:
                stack.pop()
                if state[id(node)] == "open":
                    state[id(node)] = "done"
                    order.append(node)
        grads = {id(self): Value(1.0)}
        for node in reversed(order):
            g = grads[id(node)]
            if not node.parents:
                node.grad = g if node.grad is None else node.grad + g
            for parent, pull in node.parents:
                more = pull(g)
                grads[id(parent)] = grads[id(parent)] + more if id(parent) in grads else more
'''

TEXTS = {
    "closures": CLOSURES, "local gradients": LOCAL, "tape": TAPE, "pullbacks": PULLBACKS,
    "functions": FUNCTIONS, "dataclass": DATACLASS, "arrays": ARRAYS, "by paths": BY_PATHS,
    "higher orders": HIGHER,
}  # fmt: skip
"""All of them; the class of a text is the last one that has ``__mul__``."""


def made(text):
    """Return the class that the text defines."""
    namespace = {"__name__": __name__}  # dataclasses look it up
    exec(compile(text, "engine.py", "exec"), namespace)
    return [kind for kind in namespace.values() if hasattr(kind, "__mul__")][-1]
