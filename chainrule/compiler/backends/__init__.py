"""Compiled functions on array libraries: JAX, PyTorch, CuPy, NumPy, and what has their API.

:mod:`.library` is what is asked of a library, and each library that needs more has a module here;
:mod:`.programs` runs one recording by its printed functions; :mod:`.device` keeps the parameters
where the library computes; :mod:`.compiled` is the public face, and :mod:`.wrappers` makes parts of
other people's models of it.  A library is imported when a function is compiled for it.
"""
