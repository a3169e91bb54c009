"""Programs as pure functions of an array library: JAX, PyTorch, CuPy, and others with one API.

:func:`.file.write` prints an array program, :func:`.steps.write` a plan of single steps and loops.
"""
