"""What the diagnosis knows of mistakes."""
