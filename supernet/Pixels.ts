/** How a picture becomes what a submodel sees, on devices, in training and in evaluation alike. */
import type { Sharp } from "sharp"

/**
 * Upright, shorter side scaled to the resolution, the middle square; RGB bytes. Linear scaling from the whole picture: what JPEG
 * decoders offer to skip on the way (`fastShrinkOnLoad`) costs up to a point of accuracy.
 */
export const middleSquare = (image: Sharp, resolution: number): Sharp =>
  image
    .autoOrient()
    .resize(resolution, resolution, { fit: "cover", kernel: "linear", fastShrinkOnLoad: false })
    .removeAlpha()
    .toColourspace("srgb")
    .raw()

/** Of `middleSquare`: in the names of files that keep its results. */
export const pixelsVersion = 2
