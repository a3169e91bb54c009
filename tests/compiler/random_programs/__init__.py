"""Random programs: what an outsider might write, made at random, compiled, and held to the engine.

    language      what a program is: a short Python text and the calls that are made, plain data
    pieces        from a seed to a program: the sentences of the language and how they are combined
    worlds        three worlds in which a text can be run: the library, the engine, fifty digits
    fifty_digits  the last of them: the library's names on mpmath's numbers
    verdict       one program run in all of them, and what must be the same
    derivatives   the same of Jacobians, Hessians and products, by arguments and by parameters
    shrinking     from a program that fails to the smallest one that fails in the same way

``python -m tests.compiler.random_programs`` runs any number of them, with ``--further`` for all
derivatives, and ``test_random_programs.py`` some, or as many as ``CHAINRULE_PROGRAMS`` says.
"""
