"""A script whose loop never ends by itself; the hidden error comes from the raw one."""

import numpy as np

inputs = np.eye(3)
targets = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
w1, b1 = np.random.randn(3, 4), np.zeros(4)
w2, b2 = np.random.randn(4, 2), np.zeros(2)
eta = 0.1
while True:
    h = 1 / (1 + np.exp(-(inputs @ w1 + b1)))
    o = 1 / (1 + np.exp(-(h @ w2 + b2)))
    error = o - targets
    if np.abs(error).max() < 1e-9:
        break
    delta = error * o * (1 - o)
    delta_h = error @ w2.T * h * (1 - h)
    w2 = w2 - eta * h.T @ delta
    b2 = b2 - eta * delta.sum(axis=0)
    w1 = w1 - eta * inputs.T @ delta_h
    b1 = b1 - eta * delta_h.sum(axis=0)
