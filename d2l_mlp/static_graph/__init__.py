"""A plain net, traced once into a static graph that trains fast.

Start with ``hybrid``; ``graph`` traces the net and ``bound`` holds it in memory.
"""
