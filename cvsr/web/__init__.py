"""Pages to look at results with: one that compares models (``cvsr compare``), and a server (``cvsr serve``).

The pages lie beside the modules, as .html, .css and .js files; both have the same viewer (``viewer.js``).
"""
