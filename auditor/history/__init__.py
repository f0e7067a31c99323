"""What is kept of each run, and what it says of the next: new, known, gone, or incomparable."""
