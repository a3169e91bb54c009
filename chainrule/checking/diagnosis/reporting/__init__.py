"""What a diagnosis found, as data, and the ways to write it down."""
