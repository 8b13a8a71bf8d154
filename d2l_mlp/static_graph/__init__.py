"""A plain net, traced once into a static graph that trains fast.

Start with ``hybrid``, then ``hybrid_step``. ``graph`` traces the net, ``bound`` holds
it in memory, and ``compiled`` runs it without Python between the batches.
"""
