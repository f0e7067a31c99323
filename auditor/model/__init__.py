"""Value types that every layer shares: no I/O, no clock, no asyncio, nothing that can fail at run time but
bad values.
"""
