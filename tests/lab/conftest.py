"""What all tests on the lab share: whatever they do, the event loop keeps its turns."""

from tests.watching import _watched, watched_loop

__all__ = ["_watched", "watched_loop"]
