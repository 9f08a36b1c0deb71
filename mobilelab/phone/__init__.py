"""The virtual phone: an emulated ARM core with the last lite interpreter that phones got.

``fetch`` brings the parts once: ``lock`` names them, ``download`` and ``unpack`` take one at a
time, ``cache`` is where they are kept. ``machine`` switches the phone on: ``process`` is the
guest's, ``cores`` says what is emulated, ``counter`` builds ``count.c``, which counts
instructions. ``compare`` holds it against this computer, ``guest`` is the program on the other
side. Chapter 07 introduces it.
"""
