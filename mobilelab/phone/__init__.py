"""The virtual phone: an emulated ARM core with the last lite interpreter that phones got.

``fetch`` brings the parts once, ``machine`` switches the phone on, ``compare`` holds it against
this computer, ``guest`` is the program on the other side, ``count.c`` counts its instructions.
Chapter 07 introduces it.
"""
