"""The page where a network trains and can be watched: `striate lab`.

The trainer (`trainer.py`, a process of its own) trains, obeys commands between steps and sends what
is to be seen; another (`examiner.py`) looks at single units. The server (`server.py`) passes
the newest of it on to every open window. The page (`page/`) is plain ES modules.
"""
