"""Functions on images: `[N, H, W, C]` or `[H, W, C]`, or with channels first."""

from kcompile.ops.image.colors import hsv_to_rgb, rgb_to_hsv
from kcompile.ops.image.filters import (
    elastic_transform,
    extract_patches,
    extract_patches_3d,
    gaussian_blur,
    sobel_edges,
    ssim,
)
from kcompile.ops.image.resizing import (
    crop,
    crop_images,
    image_axes,
    pad_images,
    resize,
    rgb_to_grayscale,
)
from kcompile.ops.image.sampling import (
    affine_transform,
    map_coordinates,
    perspective_transform,
    scale_and_translate,
)

__all__ = [
    "affine_transform",
    "crop",
    "crop_images",
    "elastic_transform",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "image_axes",
    "map_coordinates",
    "pad_images",
    "perspective_transform",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
    "ssim",
]
