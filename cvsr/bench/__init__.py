"""Times and memory of models, beside other runtimes on the same files: ``cvsr bench``.

Every contestant is a process of its own, so that no thread pool or allocator disturbs another; the race gives each its
turn in every round, so that what disturbs the machine disturbs all of them.
"""
