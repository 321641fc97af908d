"""The server behind ``cvsr serve``: an ASGI application with bounds on memory, time and queue. Start with ``app.py``."""
