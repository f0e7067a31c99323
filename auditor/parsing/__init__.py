"""Strict reading: text in, a Snapshot or a Scenario out, or every problem with its file, line and path.

``manifests.read_snapshot`` and ``scenario.read_scenario`` read what a ``source.Source`` holds; nothing here opens a
file. On the way, ``documents`` turns YAML and JSON into plain values with the lines of their parts, ``fields`` gives
typed access to these, and one module for each group of kinds knows what Kubernetes accepts there. ``placement.place``
gives nodes and addresses to a cluster of files.
"""
