"""The chapter itself: its net, its training loop and its plots.

Start with ``model``, then ``train``. Nothing here knows of graphs, files or processes.
"""
