"""The sections of a fingerprint: each module has ``run(book)``, which notes what cvsr does. ``kit`` serves them all."""
