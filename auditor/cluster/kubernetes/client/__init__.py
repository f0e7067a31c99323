"""The Kubernetes API client: requests, retries, lists, watches and exec streams."""
