"""A live Kubernetes, as its API server describes it.

``config`` finds the server and who we are, as kubectl does; ``api`` asks it, and is the one place where its errors
become ours; ``records`` are the few fields that matter here of each kind; ``reading`` makes a Snapshot of them,
``saving`` a file. Nothing here writes to the cluster. Import this package where it is needed: it costs a fifth of a
second.
"""
