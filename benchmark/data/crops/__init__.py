"""Random crops of training images: boxes, the images that they are taken from, and resampling."""
