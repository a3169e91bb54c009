"""The distances of a layered layout."""

APART, LINES_APART = 14.0, 9.0
"""Between boxes of a column, and between a line and its neighbour."""
GAP = 34.0
"""The least between two columns."""
ARROW = 7.0
LABEL_HEIGHT = 15.0
LANE = 8.0
"""Between lines that go on in another row."""
MOST_ROWS = 6
