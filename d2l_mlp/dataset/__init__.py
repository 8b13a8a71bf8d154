"""Fashion-MNIST: found, verified and served in batches; and photographs like it.

Start with ``fashion_mnist``; ``loader`` puts a batch together.
"""
