"""The evals of GradBench, each a page of plain scalar code."""
