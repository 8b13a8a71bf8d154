"""The commands of ``python -m d2l_mlp``, a file for each.

Start with ``cli``, which joins them, then ``book``.
"""
