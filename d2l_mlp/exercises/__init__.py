"""The chapter's four exercises, each answered by runs.

Start with ``studies`` for the first three, and with ``search`` for the fourth.
"""
