"""The tests' own evaluator: slow, cell by cell, written from the specification alone, so that it can judge the fast
one.
"""
