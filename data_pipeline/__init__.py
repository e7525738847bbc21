"""Raw X-rays to shared arrays: find, label, decode, split, augment and share the images of a run.

The data walk through these modules once, in this order::

    sources -> scan -> preprocess -> split -> share
    (where)    (what)  (pixels)      (rows)   (to every trial)

`manifest` holds what passes between them, `dataset` runs the whole walk, `augment` and `class_weights`
serve training.
"""
