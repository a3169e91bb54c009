"""A script: weights and a loop that changes them, at the top level."""

import numpy as np


def sigmoid(x, deriv=False):
    return x * (1 - x) if deriv else 1 / (1 + np.exp(-x))


X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
y = np.array([[0], [1], [1], [0]])
syn0 = 2 * np.random.random((3, 4)) - 1
syn1 = 2 * np.random.random((4, 1)) - 1

for epoch in range(60000):
    l1 = sigmoid(X @ syn0)
    l2 = sigmoid(l1 @ syn1)
    l2_error = y - l2
    if epoch % 10000 == 0:
        print("error", np.abs(l2_error).mean())
    l2_delta = l2_error * sigmoid(l2, deriv=True)
    l1_delta = l2_delta @ syn1.T * sigmoid(l1, deriv=True)
    syn1 += l1.T @ l2_delta
    syn0 += X.T @ l1_delta

print(l2)
