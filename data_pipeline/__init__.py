"""From raw X-rays to shared arrays: finds, labels, decodes, splits, augments and shares the images of a run.

The data pass through these modules once, in this order::

    sources -> folders or tables -> preprocess -> split -> share
    (where)    (what)               (pixels)      (rows)   (to every trial)

`image_file` reads a file for `folders` and `tables`; `dicom` and its neighbours know DICOM, `table_formats` the label
files of public sets, `views` the views of both, and `identity` hides patients.
`manifest` holds what passes between them, `manifest_file` stores it, `dataset` calls them all, `augment` and
`class_weights` serve training. `scan` is the command that shows what a folder holds.
"""
