"""The server of ``cvsr serve``: an ASGI application with limits on memory, time and queue. Start with ``app.py``."""
