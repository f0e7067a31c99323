"""Which probe pods and connections are worth their price: those that would show most misreadings of policies."""
