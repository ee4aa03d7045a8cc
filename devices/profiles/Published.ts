/**
 * Published inference times, and the work in the networks they are for: the evidence behind the shipped profiles.
 *
 * Times: average of benchncnn with all CPU cores (or the GPU named), ms, from `benchmark/README.md` of Tencent/ncnn at
 * a4d2ea1 (2026-07-22). Work: counted from the network definitions in `benchmark/models/*.param` of the same commit.
 */
import type { OpCounts } from "../../supernet/Cost.ts"

const order = [
  "dense",
  "pointwise",
  "depthwise3",
  "depthwise5",
  "depthwise7",
  "linear",
  "elementwise",
  "activations",
  "parameters",
  "layers",
] as const satisfies ReadonlyArray<keyof OpCounts>

type Counts = readonly [number, number, number, number, number, number, number, number, number, number]

/** In `order`. 224 x 224 input (squeezenet 227), batch 1. */
const counts = {
  squeezenet: [227987136, 190480384, 0, 0, 0, 0, 3230784, 2823104, 1235496, 38],
  mobilenet: [10838016, 539492352, 17385984, 0, 0, 1024000, 50176, 5042688, 4221032, 29],
  mobilenet_v2: [10838016, 280784896, 20716416, 0, 0, 1280000, 279104, 7079520, 3488872, 65],
  mobilenet_v3: [5419008, 215857152, 9102240, 11407200, 0, 3779168, 3951360, 4592672, 5133694, 91],
  mnasnet: [10838016, 273960960, 11402496, 16934400, 0, 1280000, 354368, 5456640, 4364352, 64],
  proxylessnasnet: [10838016, 282942464, 7168896, 18580800, 15673728, 1280000, 388864, 5604032, 4064560, 76],
  efficientnet_b0: [10838016, 338537472, 13011264, 21520800, 0, 1907200, 11043424, 6737696, 5267540, 124],
  googlenet: [1212503040, 369144832, 0, 0, 0, 1024000, 4964288, 3226160, 6998552, 83],
  resnet18: [1794293760, 32112640, 0, 0, 0, 512000, 2333184, 2684416, 11688872, 32],
  resnet50: [1967702016, 1888223232, 0, 0, 0, 2048000, 11941888, 10587136, 25530472, 72],
  vgg16: [15346630656, 0, 0, 0, 0, 123633664, 6121472, 13547520, 138357544, 21],
} as const satisfies Record<string, Counts>

export type NetworkName = keyof typeof counts
export const networkNames = Object.keys(counts) as ReadonlyArray<NetworkName>

export const networkOps = (name: NetworkName): OpCounts =>
  Object.fromEntries(order.map((key, i) => [key, counts[name][i]])) as unknown as OpCounts

/** ms per network. A network is left out where the list has none or where one outlier run spoils its average. */
export type NetworkTimes = Partial<Record<NetworkName, number>>

export const raspberryPi4: NetworkTimes = {
  squeezenet: 46.65,
  mobilenet: 61.17,
  mobilenet_v2: 61.88,
  mobilenet_v3: 47.53,
  mnasnet: 51.98,
  proxylessnasnet: 53.32,
  efficientnet_b0: 74.19,
  googlenet: 114.35,
  resnet18: 123.12,
  resnet50: 262.83,
  vgg16: 547.09,
}

/** fp16 arithmetic, ncnn's default there. `mobilenet` left out: average 33.9 with a minimum of 9.0. */
export const raspberryPi5: NetworkTimes = {
  squeezenet: 7.38,
  mobilenet_v2: 10.52,
  mobilenet_v3: 7.35,
  mnasnet: 7.1,
  proxylessnasnet: 7.88,
  efficientnet_b0: 12.33,
  googlenet: 25.35,
  resnet18: 19.96,
  resnet50: 46.21,
  vgg16: 129.24,
}

/** Raspberry Pi 3 Model B+. */
export const raspberryPi3: NetworkTimes = {
  squeezenet: 85.22,
  mobilenet: 108.66,
  mobilenet_v2: 111.68,
  mobilenet_v3: 86.44,
  mnasnet: 95.78,
  proxylessnasnet: 103.38,
  efficientnet_b0: 135.86,
  googlenet: 224.22,
  resnet18: 271.93,
  resnet50: 587.42,
}

export const raspberryPiZero2W: NetworkTimes = {
  squeezenet: 119.93,
  mobilenet: 163.19,
  mobilenet_v2: 147.39,
  mobilenet_v3: 119.04,
  mnasnet: 126.53,
  proxylessnasnet: 140.35,
  efficientnet_b0: 202.14,
  googlenet: 324.45,
  resnet18: 353.45,
  resnet50: 782.63,
}

/** GPU (Vulkan). */
export const jetsonNano: NetworkTimes = {
  squeezenet: 13.55,
  mobilenet: 16.09,
  mobilenet_v2: 12.99,
  mobilenet_v3: 14.57,
  mnasnet: 13.49,
  proxylessnasnet: 14.76,
  efficientnet_b0: 21.35,
  googlenet: 43.43,
  resnet18: 43.98,
  resnet50: 93.12,
  vgg16: 310.52,
}

/**
 * GTX 1080, Torch7, cuDNN 5.1, forward time of a batch of 16 divided by 16: jcjohnson/cnn-benchmarks. Batch 1 was not
 * published; launch cost is added by estimate.
 */
export const gtx1080: NetworkTimes = { resnet18: 14.6 / 16, resnet50: 50.6 / 16, vgg16: 59.4 / 16 }
