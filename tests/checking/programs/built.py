"""A network of layers that are added one by one, trained on lists of rows."""

import numpy as np


class Dense:
    def __init__(self, inputs, units):
        self.weights = np.random.rand(inputs, units) - 0.5
        self.bias = np.random.rand(1, units) - 0.5

    def forward(self, x):
        self.x = x
        return x @ self.weights + self.bias

    def backward(self, error, rate):
        back = error @ self.weights.T
        self.weights -= rate * self.x.T @ error
        self.bias -= rate * error
        return back


class Tanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, error, rate):
        return error * (1 - self.out**2)


def mse(y_true, y_pred):
    return np.mean((y_true - y_pred) ** 2)


def mse_prime(y_true, y_pred):
    return 2 * (y_pred - y_true) / y_true.size


class Stack:
    def __init__(self):
        self.layers = []
        self.loss = self.slope = None

    def add(self, layer):
        self.layers.append(layer)

    def use(self, loss, slope):
        self.loss, self.slope = loss, slope

    def fit(self, x_train, y_train, number_of_epochs, learning_rate):
        for _ in range(number_of_epochs):
            for x, y in zip(x_train, y_train, strict=True):
                for layer in self.layers:
                    x = layer.forward(x)
                error = self.slope(y, x)
                for layer in reversed(self.layers):
                    error = layer.backward(error, learning_rate)


class TakesLayers:
    """Is given its layers; sums over the examples, a rate of 1."""

    def __init__(self, layer1, layer2):
        self.layer1, self.layer2 = layer1, layer2

    def train(self, training_set_inputs, training_set_outputs, number_of_training_iterations):
        for _ in range(number_of_training_iterations):
            h = np.tanh(training_set_inputs @ self.layer1.weights)
            o = np.tanh(h @ self.layer2.weights)
            delta = (training_set_outputs - o) * (1 - o**2)
            below = delta @ self.layer2.weights.T * (1 - h**2)
            self.layer1.weights += training_set_inputs.T @ below
            self.layer2.weights += h.T @ delta


class NeverMoves:
    """Its backward pass reads an output that nobody sets."""

    def __init__(self, input_array, output_array):
        self.input = input_array
        self.first_hidden_weights = np.random.rand(input_array.shape[1], 4)
        self.output_layer_weights = np.random.rand(4, 1)
        self.output_array = output_array
        self.predicted = np.zeros(output_array.shape)

    def feedforward(self):
        self.hidden = np.tanh(self.input @ self.first_hidden_weights)
        return np.tanh(self.hidden @ self.output_layer_weights)

    def back_propagation(self):
        delta = (self.output_array - self.predicted) * self.predicted
        self.output_layer_weights += self.hidden.T @ delta
        below = delta @ self.output_layer_weights.T * (1 - self.hidden**2)
        self.first_hidden_weights += self.input.T @ below


class MakesItsOwn:
    def __init__(self, n_hidden=30):
        self.n_hidden = n_hidden

    def fit(self, X, y):
        self.w = np.random.randn(X.shape[1], self.n_hidden)


if __name__ == "__main__":
    net = Stack()
    net.add(Dense(2, 3))
    net.add(Tanh())
    net.add(Dense(3, 1))
    net.add(Tanh())
    net.use(mse, mse_prime)
    net.fit(np.zeros((4, 1, 2)), np.zeros((4, 1, 1)), 1000, 0.1)
    network = TakesLayers(Dense(3, 4), Dense(4, 1))
    network.train(np.zeros((4, 3)), np.zeros((4, 1)), 60000)
