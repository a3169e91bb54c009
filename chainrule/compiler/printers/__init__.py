"""Printers write an array program for people, or for other engines; nothing here runs it."""
