"""A program as somebody wrote it: found, understood and called; see the README of this folder."""
