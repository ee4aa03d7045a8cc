/** Which evidence and which assumptions each shipped profile was made from. `npm run bench -- profiles` shows the fit. */
import { calibrate, type CalibrationPriors } from "./Calibrate.ts"
import type { DeviceProfile } from "./DeviceProfile.ts"
import type { Provenance } from "./ProfileSchema.ts"
import * as published from "./Published.ts"

export interface Calibration {
  readonly name: string
  readonly times: published.NetworkTimes
  readonly make: () => DeviceProfile
}

interface Facts {
  readonly name: string
  readonly title: string
  readonly times: published.NetworkTimes
  readonly source: string
  readonly priors: CalibrationPriors
  readonly runMs: number
  readonly decodeMs: number
  readonly memoryMb: number
  readonly memorySource: string
}

const rounded = (value: number) => Number(value.toPrecision(3))

/**
 * Conversions are bound by memory: bytes touched per value at the map rate. uint8 needs a pass for the extremes and one
 * to convert (4 + 4 + 1 bytes), float16 one (4 + 2), and back 1 + 4 and 2 + 4.
 */
const conversions = (mapGBs: number) => ({
  quantise: { u8: rounded(9 / mapGBs), f16: rounded(6 / mapGBs) },
  dequantise: { u8: rounded(5 / mapGBs), f16: rounded(6 / mapGBs) },
})

const estimates = (facts: Facts): ReadonlyArray<Provenance> => [
  {
    what: "rates.depthwise3, rates.depthwise5, rates.depthwise7",
    source: `depthwise 3x3 at ${facts.priors.depthwiseShare} of the fitted 1x1 rate, 5x5 and 7x7 at 1.5 and 1.8 times that: whole-network times do not separate them`,
    estimate: true,
  },
  { what: "weightGBs", source: "sustained memory read bandwidth of the board", estimate: true },
  {
    what: "quantise, dequantise",
    source: "bytes touched per value at mapGBs",
    estimate: true,
  },
  { what: "runMs", source: "dispatch to a worker thread and one runtime call", estimate: true },
  {
    what: "decodeMs",
    source: "libjpeg-turbo and a bilinear resize, scaled from x64 by clock",
    estimate: true,
  },
  { what: "memoryMb", source: facts.memorySource, estimate: true },
]

const fromNetworks = (facts: Facts): Calibration => ({
  name: facts.name,
  times: facts.times,
  make: () => {
    const fit = calibrate(facts.times, facts.priors)
    return {
      name: facts.name,
      title: facts.title,
      ...fit,
      blockMs: 0,
      runMs: facts.runMs,
      ...conversions(fit.mapGBs),
      decodeMs: facts.decodeMs,
      memoryMb: facts.memoryMb,
      provenance: [
        {
          what: "rates.dense, rates.pointwise, mapGBs, layerMs",
          source: `non-negative fit to ${facts.source}`,
          estimate: false,
        },
        ...estimates(facts),
      ],
    }
  },
})

const ncnn = (device: string) =>
  `the times of whole networks on ${device}, benchncnn, Tencent/ncnn benchmark/README.md at a4d2ea1 (2026-07-22)`

const gtxLayerMs = 0.06

/** Batched figures of three networks cannot carry a fit, so the rates are set by hand and checked against them. */
const gtx1080: Calibration = {
  name: "gtx-1080-desktop",
  times: published.gtx1080,
  make: () => ({
    name: "gtx-1080-desktop",
    title: "Desktop, GeForce GTX 1080",
    rates: { dense: 4435, pointwise: 1500, depthwise3: 150, depthwise5: 225, depthwise7: 270 },
    mapGBs: 75,
    weightGBs: 200,
    layerMs: gtxLayerMs,
    blockMs: 0,
    runMs: 0.3,
    // The PCIe copy dominates: 4 bytes a value at 6 GB/s, and a kernel launch's worth of time is in layerMs already.
    quantise: { u8: 0.67, f16: 0.67 },
    dequantise: { u8: 0.67, f16: 0.67 },
    decodeMs: 2,
    memoryMb: 7000,
    provenance: [
      {
        what: "rates.dense",
        source: "peak of the card, 8.87 TFLOPS (jcjohnson/cnn-benchmarks); Winograd convolutions reach it",
        estimate: false,
      },
      {
        what: "rates.pointwise, mapGBs, weightGBs",
        source:
          "set by hand so that ResNet-18, ResNet-50 and VGG-16 come within 30 % of jcjohnson/cnn-benchmarks (Torch7, cuDNN 5.1, batch 16)",
        estimate: true,
      },
      {
        what: "rates.depthwise3, rates.depthwise5, rates.depthwise7",
        source: "a tenth of the 1x1 rate: no published figure",
        estimate: true,
      },
      {
        what: "layerMs",
        source: "framework and kernel launch at batch 1, which makes small networks take 5 to 10 ms",
        estimate: true,
      },
      { what: "runMs, quantise, dequantise, decodeMs, memoryMb", source: "see the code", estimate: true },
    ],
  }),
}

export const calibrations: ReadonlyArray<Calibration> = [
  fromNetworks({
    name: "raspberry-pi-4",
    title: "Raspberry Pi 4 Model B, 4 x Cortex-A72 1.8 GHz",
    times: published.raspberryPi4,
    source: ncnn("a Raspberry Pi 4, 4 threads"),
    priors: { depthwiseShare: 0.2, weightGBs: 4 },
    runMs: 0.5,
    decodeMs: 8,
    memoryMb: 3000,
    memorySource: "4 GB model, system and runtime taken off",
  }),
  fromNetworks({
    name: "raspberry-pi-5",
    title: "Raspberry Pi 5, 4 x Cortex-A76 2.4 GHz, fp16 arithmetic",
    times: published.raspberryPi5,
    source: ncnn("a Raspberry Pi 5, 4 threads, fp16"),
    priors: { depthwiseShare: 0.2, weightGBs: 16 },
    runMs: 0.25,
    decodeMs: 3,
    memoryMb: 6500,
    memorySource: "8 GB model, system and runtime taken off",
  }),
  fromNetworks({
    name: "raspberry-pi-3",
    title: "Raspberry Pi 3 Model B+, 4 x Cortex-A53 1.4 GHz",
    times: published.raspberryPi3,
    source: ncnn("a Raspberry Pi 3 Model B+, 4 threads"),
    priors: { depthwiseShare: 0.1, weightGBs: 2 },
    runMs: 1,
    decodeMs: 16,
    memoryMb: 650,
    memorySource: "1 GB, system and runtime taken off",
  }),
  fromNetworks({
    name: "raspberry-pi-zero-2-w",
    title: "Raspberry Pi Zero 2 W, 4 x Cortex-A53 1.0 GHz",
    times: published.raspberryPiZero2W,
    source: ncnn("a Raspberry Pi Zero 2 W, 4 threads"),
    priors: { depthwiseShare: 0.1, weightGBs: 2 },
    runMs: 1.4,
    decodeMs: 22,
    memoryMb: 250,
    memorySource: "512 MB, system and runtime taken off",
  }),
  fromNetworks({
    name: "jetson-nano",
    title: "NVIDIA Jetson Nano, 128-core Maxwell GPU (Vulkan)",
    times: published.jetsonNano,
    source: ncnn("a Jetson Nano, GPU"),
    priors: { depthwiseShare: 0.2, weightGBs: 15 },
    runMs: 0.6,
    decodeMs: 9,
    memoryMb: 2800,
    memorySource: "4 GB shared with the GPU, system and runtime taken off",
  }),
  gtx1080,
]
