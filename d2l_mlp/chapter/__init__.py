"""The chapter itself: its net, its training loop and its plots.

Start with ``model``, then ``train``. Nothing here needs graphs, files or
processes: ``step.Step`` is where these plug in.
"""
