"""Strict reading: text in, a Snapshot or a Scenario out, or every problem with its file, line and path."""
