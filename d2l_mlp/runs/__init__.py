"""A run: its settings, its checkpoints, and many runs spread over processes.

Start with ``settings``, where each bound of a setting stands, then ``run``.
"""
