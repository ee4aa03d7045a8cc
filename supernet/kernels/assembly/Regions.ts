/**
 * Kernels that see a feature map as regions (tiles) of a batch [images, height, width, channels].
 * A region is given by a pointer to its first pixel and the map's own pitches, so tiles are never copied out.
 * Channels are a multiple of 4. All sizes are in elements, all pointers in bytes.
 */

/** out[image * outPitch + c] = scale * sum over the region of x. */
export function regionSum(
  x: usize, out: usize, images: i32, height: i32, width: i32, channels: i32,
  rowPitch: i32, imagePitch: i32, outPitch: i32, scale: f32,
): void {
  const s = f32x4.splat(scale)
  for (let n = 0; n < images; n++) {
    const o = out + ((<usize>n * outPitch) << 2)
    memory.fill(o, 0, (<usize>channels) << 2)
    for (let h = 0; h < height; h++) {
      let p = x + ((<usize>n * imagePitch + <usize>h * rowPitch) << 2)
      for (let w = 0; w < width; w++) {
        for (let c: usize = 0; c < ((<usize>channels) << 2); c += 16) {
          v128.store(o + c, f32x4.add(v128.load(o + c), v128.load(p + c)))
        }
        p += (<usize>channels) << 2
      }
    }
    for (let c: usize = 0; c < ((<usize>channels) << 2); c += 16) v128.store(o + c, f32x4.mul(v128.load(o + c), s))
  }
}

/** y = x * scale[image, c] over the region; x and y share their pitches. */
export function regionScale(
  x: usize, scale: usize, y: usize, images: i32, height: i32, width: i32, channels: i32,
  rowPitch: i32, imagePitch: i32, scalePitch: i32,
): void {
  const bytes = (<usize>channels) << 2
  for (let n = 0; n < images; n++) {
    const s = scale + ((<usize>n * scalePitch) << 2)
    for (let h = 0; h < height; h++) {
      const at = (<usize>n * imagePitch + <usize>h * rowPitch) << 2
      let p = x + at, q = y + at
      for (let w = 0; w < width; w++) {
        for (let c: usize = 0; c < bytes; c += 16) v128.store(q + c, f32x4.mul(v128.load(p + c), v128.load(s + c)))
        p += bytes
        q += bytes
      }
    }
  }
}

/** out[image, c] = sum over the region of x * d: the gradient of a scale. */
export function regionDot(
  x: usize, d: usize, out: usize, images: i32, height: i32, width: i32, channels: i32,
  rowPitch: i32, imagePitch: i32, outPitch: i32,
): void {
  const bytes = (<usize>channels) << 2
  for (let n = 0; n < images; n++) {
    const o = out + ((<usize>n * outPitch) << 2)
    memory.fill(o, 0, bytes)
    for (let h = 0; h < height; h++) {
      const at = (<usize>n * imagePitch + <usize>h * rowPitch) << 2
      let p = x + at, q = d + at
      for (let w = 0; w < width; w++) {
        for (let c: usize = 0; c < bytes; c += 16) {
          v128.store(o + c, f32x4.add(v128.load(o + c), f32x4.mul(v128.load(p + c), v128.load(q + c))))
        }
        p += bytes
        q += bytes
      }
    }
  }
}

/** x = value[image, c] over the region: the gradient of a mean. */
export function regionFill(
  value: usize, x: usize, images: i32, height: i32, width: i32, channels: i32, rowPitch: i32, imagePitch: i32, valuePitch: i32,
): void {
  const bytes = (<usize>channels) << 2
  for (let n = 0; n < images; n++) {
    const v = value + ((<usize>n * valuePitch) << 2)
    for (let h = 0; h < height; h++) {
      let p = x + ((<usize>n * imagePitch + <usize>h * rowPitch) << 2)
      for (let w = 0; w < width; w++) {
        memory.copy(p, v, bytes)
        p += bytes
      }
    }
  }
}

/** dx = dy * scale[image, c] + shift[image, c] over the region: the gradient of squeeze-excite's input. */
export function regionScaleShift(
  dy: usize, scale: usize, shift: usize, dx: usize, images: i32, height: i32, width: i32, channels: i32,
  rowPitch: i32, imagePitch: i32, scalePitch: i32,
): void {
  const bytes = (<usize>channels) << 2
  for (let n = 0; n < images; n++) {
    const s = scale + ((<usize>n * scalePitch) << 2), t = shift + ((<usize>n * scalePitch) << 2)
    for (let h = 0; h < height; h++) {
      const at = (<usize>n * imagePitch + <usize>h * rowPitch) << 2
      let p = dy + at, q = dx + at
      for (let w = 0; w < width; w++) {
        for (let c: usize = 0; c < bytes; c += 16) {
          v128.store(q + c, f32x4.add(f32x4.mul(v128.load(p + c), v128.load(s + c)), v128.load(t + c)))
        }
        p += bytes
        q += bytes
      }
    }
  }
}

/**
 * Fake quantisation of one region per image, after ONNX DynamicQuantizeLinear: the range includes zero, 256 levels, round to even.
 * y may be x. Constant-zero regions stay as they are.
 */
export function regionFakeQuantize(
  x: usize, y: usize, images: i32, height: i32, width: i32, channels: i32, rowPitch: i32, imagePitch: i32,
): void {
  const row = ((<usize>width * channels) << 2)
  for (let n = 0; n < images; n++) {
    let lo = f32x4.splat(0), hi = f32x4.splat(0)
    for (let h = 0; h < height; h++) {
      const p = x + ((<usize>n * imagePitch + <usize>h * rowPitch) << 2)
      for (let i: usize = 0; i < row; i += 16) {
        const v = v128.load(p + i)
        lo = f32x4.min(lo, v)
        hi = f32x4.max(hi, v)
      }
    }
    const low = min(min(f32x4.extract_lane(lo, 0), f32x4.extract_lane(lo, 1)), min(f32x4.extract_lane(lo, 2), f32x4.extract_lane(lo, 3)))
    const high = max(max(f32x4.extract_lane(hi, 0), f32x4.extract_lane(hi, 1)), max(f32x4.extract_lane(hi, 2), f32x4.extract_lane(hi, 3)))
    const scale: f32 = (high - low) / 255
    const zero: f32 = scale > 0 ? max(0, min(255, nearest(-low / scale))) : 0
    const zeroV = f32x4.splat(zero), scaleV = f32x4.splat(scale > 0 ? scale : 1), inverse = f32x4.splat(scale > 0 ? 1 / scale : 1)
    const bottom = f32x4.splat(0), top = f32x4.splat(255)
    for (let h = 0; h < height; h++) {
      const at = (<usize>n * imagePitch + <usize>h * rowPitch) << 2
      for (let i: usize = 0; i < row; i += 16) {
        const q = f32x4.add(f32x4.nearest(f32x4.mul(v128.load(x + at + i), inverse)), zeroV)
        v128.store(y + at + i, f32x4.mul(f32x4.sub(f32x4.min(f32x4.max(q, bottom), top), zeroV), scaleV))
      }
    }
  }
}

/** y = x rounded to float16 precision (11 significant bits), for activations well inside float16's range. */
export function roundToHalf(x: usize, y: usize, count: i32): void {
  // Veltkamp's split: adding and removing (2^13 + 1) x leaves 24 - 13 = 11 significant bits.
  const factor = f32x4.splat(8193)
  for (let i: usize = 0; i < ((<usize>count) << 2); i += 16) {
    const v = v128.load(x + i)
    const scaled = f32x4.mul(v, factor)
    v128.store(y + i, f32x4.sub(scaled, f32x4.sub(scaled, v)))
  }
}

/**
 * Patches of a 3-channel-like map for a convolution as a matrix product: one row of `columns` floats per output pixel of the region.
 * Taps outside the region read zero (zero padding at a tile's edge). Rows land at their place in the whole output map.
 */
export function im2col(
  x: usize, y: usize, images: i32, height: i32, width: i32, channels: i32, rowPitch: i32, imagePitch: i32,
  outHeight: i32, outWidth: i32, outRowPitch: i32, outImagePitch: i32, kernel: i32, stride: i32, pad: i32, columns: i32,
): void {
  for (let n = 0; n < images; n++) {
    for (let oh = 0; oh < outHeight; oh++) {
      let q = y + ((<usize>n * outImagePitch + <usize>oh * outRowPitch) * columns << 2)
      for (let ow = 0; ow < outWidth; ow++) {
        let t = q
        for (let kh = 0; kh < kernel; kh++) {
          const ih = oh * stride - pad + kh
          for (let kw = 0; kw < kernel; kw++) {
            const iw = ow * stride - pad + kw
            if (ih >= 0 && ih < height && iw >= 0 && iw < width) {
              const s = x + ((<usize>n * imagePitch + <usize>ih * rowPitch + <usize>iw * channels) << 2)
              for (let c = 0; c < channels; c++) store<f32>(t + (<usize>c << 2), load<f32>(s + (<usize>c << 2)))
            } else {
              for (let c = 0; c < channels; c++) store<f32>(t + (<usize>c << 2), 0)
            }
            t += (<usize>channels) << 2
          }
        }
        q += (<usize>columns) << 2
      }
    }
  }
}
