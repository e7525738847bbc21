"""From raw X-rays to shared arrays: finds, labels, decodes, splits, augments and shares the images of a run.

The data pass through these modules once, in this order::

    sources -> folders or tables -> preprocess -> split -> share
    (where)    (what)               (pixels)      (rows)   (to every trial)

`image_file` reads what a file says of itself (`headers`, or `dicom` and its neighbours) for `folders` and `tables`, and
`decode` reads its pixels. `classes` orders the classes, `patients` finds patients and `identity` hides them;
`table_formats` knows the label files of public sets, `views` names views. `looks` and `outliers` compare images.
`manifest` holds what passes between them, `manifest_file` stores it. `settings` are what a user may set, `dataset` does
all of it in one call, `notices` tell the user of the result. `augment` and `class_weights` serve training. `scan` is
the command that shows what a folder holds.
"""
