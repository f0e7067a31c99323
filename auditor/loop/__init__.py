"""The event loop's own affairs: work that would block it is done apart from it, and a watchdog measures whether
anything does.
"""
