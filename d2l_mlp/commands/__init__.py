"""The commands of ``python -m d2l_mlp``, a file for each; ``cli`` joins them."""
