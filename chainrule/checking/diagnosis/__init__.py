"""Which mistake made a gradient wrong: what is searched, what is known, and what is reported."""
