"""How datasets lie on disk: one file a layout, named as `layout:` in a dataset's YAML names it.

A new layout is one new file here that holds one `LAYOUT` (`pipelines.specs.layout.Layout`): its
folders, what its labels are for, and the two functions that find and read them. Nothing else
names it. `yolo` is the shortest with labels; `coco` keeps all of them in one file.
"""
