/** Where the published accuracies and sizes of the zoo come from. */
export const torchvision = "torchvision model pages, weights IMAGENET1K_V1 (pytorch.org/vision/stable/models)"
