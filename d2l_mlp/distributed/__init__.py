"""The same training loop over MXNet's KVStore, by several processes or machines.

Start with ``workers``; ``launcher`` starts the processes of a run, and ``heartbeat``
ends them when one of them dies.
"""
