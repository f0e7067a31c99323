"""The embedded lab: pods are network namespaces on simulated nodes, and nftables rules compiled straight from the
policies police them.

Everything is private to one tree of processes, so that nothing is left when the tree dies. The lab never asks the
evaluator what a policy means: it is the second opinion that the evaluator is checked against.
"""
