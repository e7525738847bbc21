"""Raw X-rays to shared arrays: find, label, decode, split, augment and share the images of a run.

The data walk through these modules once, in this order::

    sources -> folders -> preprocess -> split -> share
    (where)    (what)     (pixels)      (rows)   (to every trial)

`manifest` holds what passes between them, `manifest_file` stores it, `dataset` runs the whole walk, `augment` and
`class_weights` serve training. `scan` is the command that shows what a folder holds.
"""
