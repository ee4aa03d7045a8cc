/**
 * Points of the constraint space, to be asked: which known points are stricter than this one in every dimension, and which
 * of them is best? The paper's tree of buckets (section 4.4.1, figure 7) walks grid neighbours towards the
 * strict corner; this tree answers the same question for a sparse set in many dimensions, without visiting empty buckets.
 *
 * A k-d tree whose nodes know their bounding box and highest value: a subtree whose lower corner is not stricter than the
 * query, or that cannot beat the best so far, is never entered. Removal leaves a tombstone; rebuilds keep it balanced.
 */

export interface Entry<A> {
  readonly point: Float64Array
  /** Higher is better. */
  readonly value: number
  readonly item: A
}

interface Leaf<A> {
  kind: "leaf"
  entries: Array<Entry<A>>
  low: Float64Array
  high: Float64Array
  best: number
}
interface Branch<A> {
  kind: "branch"
  axis: number
  at: number
  left: TreeNode<A>
  right: TreeNode<A>
  low: Float64Array
  high: Float64Array
  best: number
}
type TreeNode<A> = Leaf<A> | Branch<A>

const leafSize = 12

/** Is `a` at least as strict as `b` in every dimension (lower ease is stricter)? */
export const isStricter = (a: Float64Array, b: Float64Array): boolean => {
  for (let d = 0; d < b.length; d++) if ((a[d] ?? 0) > (b[d] ?? 0)) return false
  return true
}

/** Sum over dimensions of how much `b` is more relaxed than the stricter `a`. */
export const strictnessGap = (a: Float64Array, b: Float64Array): number => {
  let sum = 0
  for (let d = 0; d < b.length; d++) sum += Math.max(0, (b[d] ?? 0) - (a[d] ?? 0))
  return sum
}

export class DominanceTree<A> {
  readonly dimensions: number
  #root: TreeNode<A>
  #size = 0
  /** Entries added or removed since the tree was last balanced. */
  #changes = 0

  constructor(dimensions: number) {
    this.dimensions = dimensions
    this.#root = this.#leaf([])
  }

  get size(): number {
    return this.#size
  }

  add(entry: Entry<A>): void {
    this.#size++
    this.#changes++
    let node = this.#root
    let parent: Branch<A> | undefined
    for (;;) {
      widen(node, entry)
      if (node.kind === "leaf") break
      parent = node
      node = (entry.point[node.axis] ?? 0) < node.at ? node.left : node.right
    }
    node.entries.push(entry)
    if (node.entries.length > 2 * leafSize) {
      const split = this.#build(node.entries)
      if (parent === undefined) this.#root = split
      else if (parent.left === node) parent.left = split
      else parent.right = split
    }
    if (this.#changes > 64 + this.#size) this.#rebuild()
  }

  /** Removes an entry that was added; the same object. Boxes stay wide until the next rebuild: slower, never wrong. */
  remove(entry: Entry<A>): boolean {
    let node = this.#root
    while (node.kind === "branch") node = (entry.point[node.axis] ?? 0) < node.at ? node.left : node.right
    const at = node.entries.indexOf(entry)
    if (at < 0) return false
    node.entries.splice(at, 1)
    this.#size--
    this.#changes++
    return true
  }

  /** The stricter entry with the highest value, the nearest of them on ties; undefined when none is stricter. */
  best(query: Float64Array): Entry<A> | undefined {
    let found: Entry<A> | undefined
    const visit = (node: TreeNode<A>): void => {
      if (!isStricter(node.low, query) || (found !== undefined && node.best < found.value)) return
      if (node.kind === "branch") {
        // The better half first, so that the other is more often cut off.
        const leftFirst = node.left.best >= node.right.best
        visit(leftFirst ? node.left : node.right)
        visit(leftFirst ? node.right : node.left)
        return
      }
      for (const entry of node.entries) {
        if (found !== undefined && entry.value < found.value) continue
        if (!isStricter(entry.point, query)) continue
        const better =
          found === undefined ||
          entry.value > found.value ||
          strictnessGap(entry.point, query) < strictnessGap(found.point, query)
        if (better) found = entry
      }
    }
    visit(this.#root)
    return found
  }

  /** Entries that are more relaxed than `point` and worth less than `value`: those that an entry there makes pointless. */
  dominated(point: Float64Array, value: number): ReadonlyArray<Entry<A>> {
    const out: Array<Entry<A>> = []
    const visit = (node: TreeNode<A>): void => {
      if (!isStricter(point, node.high)) return
      if (node.kind === "branch") {
        visit(node.left)
        visit(node.right)
        return
      }
      for (const entry of node.entries) {
        if (entry.value < value && isStricter(point, entry.point)) out.push(entry)
      }
    }
    visit(this.#root)
    return out
  }

  entries(): ReadonlyArray<Entry<A>> {
    const out: Array<Entry<A>> = []
    const visit = (node: TreeNode<A>): void => {
      if (node.kind === "leaf") out.push(...node.entries)
      else {
        visit(node.left)
        visit(node.right)
      }
    }
    visit(this.#root)
    return out
  }

  #rebuild(): void {
    this.#root = this.#build([...this.entries()])
    this.#changes = 0
  }

  #leaf(entries: Array<Entry<A>>): Leaf<A> {
    const low = new Float64Array(this.dimensions).fill(Number.POSITIVE_INFINITY)
    const high = new Float64Array(this.dimensions).fill(Number.NEGATIVE_INFINITY)
    const leaf: Leaf<A> = { kind: "leaf", entries, low, high, best: Number.NEGATIVE_INFINITY }
    for (const entry of entries) widen(leaf, entry)
    return leaf
  }

  #build(entries: Array<Entry<A>>): TreeNode<A> {
    const leaf = this.#leaf(entries)
    if (entries.length <= leafSize) return leaf
    let axis = 0
    for (let d = 1; d < this.dimensions; d++) {
      if (extent(leaf, d) > extent(leaf, axis)) axis = d
    }
    const at = median(entries.map((e) => e.point[axis] ?? 0))
    const left = entries.filter((e) => (e.point[axis] ?? 0) < at)
    // Many entries share a coordinate (they lie on a grid): if the median is the minimum there is nothing to split.
    if (left.length === 0 || left.length === entries.length) return leaf
    const right = entries.filter((e) => (e.point[axis] ?? 0) >= at)
    return { ...leaf, kind: "branch", axis, at, left: this.#build(left), right: this.#build(right) }
  }
}

const extent = (node: { low: Float64Array; high: Float64Array }, d: number): number =>
  (node.high[d] ?? 0) - (node.low[d] ?? 0)

/** A value with entries below it if there are two different ones: the median, or the next larger than the minimum. */
const median = (values: Array<number>): number => {
  values.sort((a, b) => a - b)
  const middle = values[values.length >> 1] ?? 0
  return middle > (values[0] ?? 0) ? middle : (values.find((v) => v > middle) ?? middle)
}

const widen = <A>(node: TreeNode<A>, entry: Entry<A>): void => {
  for (let d = 0; d < node.low.length; d++) {
    const x = entry.point[d] ?? 0
    if (x < (node.low[d] ?? 0)) node.low[d] = x
    if (x > (node.high[d] ?? 0)) node.high[d] = x
  }
  if (entry.value > node.best) node.best = entry.value
}
