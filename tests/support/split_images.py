"""The images of a split that is read or drawn, and not of one that was stored decoded."""

from benchmark.data.split import ImageSource, Split


def image_source(split: Split) -> ImageSource:
    """Its images, which open one at a time."""
    assert isinstance(split.images, ImageSource)
    return split.images
