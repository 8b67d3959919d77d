"""How long training takes: measured layer by layer, foretold before it begins.

Nothing here changes a run; everything is noise in place of images, and its times.
"""
