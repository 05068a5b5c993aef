import { hash } from 'node:crypto'

/*
 * One signature for several documents: the root of a Merkle hash tree over them is signed, and each document keeps its audit path to
 * the root. The tree is that of RFC 6962, section 2.1; batches of signatures are made as in draft-ietf-ntp-roughtime.
 */

/** A tree has at most this many leaves, so a path has at most six hashes. */
export const MOST_LEAVES = 64
const MOST_LEVELS = Math.log2(MOST_LEAVES)
const HASH_BYTES = 32

// Leaves and nodes are hashed with different first bytes, so that a node can't be presented as a document.
const LEAF = Buffer.of(0)
const NODE = Buffer.of(1)

/** Where a leaf is in its tree. */
export interface TreePath {
  /** One bit for each hash of the path, the lowest for the first: 1 if the hash is the left one of the pair. */
  sides: number
  /** The other hash of each pair, from the leaf to the root, one after the other; at most six of 32 bytes. */
  hashes: Buffer
}

/** The hash of a document's bytes. */
export const leafOf = (bytes: Buffer): Buffer => sha256(LEAF, bytes)

/**
 * The tree over these leaves.
 *
 * @param leaves 1 to `MOST_LEAVES` hashes of `leafOf`
 * @returns the root, and the path of each leaf in their order
 */
export function treeOf(leaves: readonly Buffer[]): { root: Buffer; paths: TreePath[] } {
  if (leaves.length === 1) return { root: leaves[0]!, paths: [{ sides: 0, hashes: Buffer.alloc(0) }] }
  const half = 2 ** Math.ceil(Math.log2(leaves.length) - 1)
  const [left, right] = [treeOf(leaves.slice(0, half)), treeOf(leaves.slice(half))]
  return {
    root: sha256(NODE, left.root, right.root),
    paths: [
      ...left.paths.map((path) => longer(path, 0, right.root)),
      ...right.paths.map((path) => longer(path, 1, left.root)),
    ],
  }
}

const longer = ({ sides, hashes }: TreePath, side: 0 | 1, sibling: Buffer): TreePath => ({
  sides: sides | (side << (hashes.length / HASH_BYTES)),
  hashes: Buffer.concat([hashes, sibling]),
})

/** How many trees are remembered, 4 KiB each. */
const MOST_TREES = 64

/**
 * Checks the paths of leaves. The nodes of a valid path and their siblings are remembered, so that the next leaf of the same tree needs a
 * hash or two and no signature.
 */
export class TreeVerifier {
  /** By signature: those whose root is signed, the last used last. */
  readonly #trees = new Map<string, KnownTree>()

  /**
   * Whether this path leads from the leaf to a root that is signed.
   *
   * @param signature the key and the signature, as a text
   * @param isSigned checks the signature of a root; called only while the tree is unknown
   */
  verify(leaf: Buffer, path: TreePath, signature: string, isSigned: (root: Buffer) => boolean): boolean {
    const levels = path.hashes.length / HASH_BYTES
    if (!Number.isInteger(levels) || levels < 1 || levels > MOST_LEVELS || path.sides >= 2 ** levels) return false
    const known = this.#trees.get(signature)
    const tree = known ?? new KnownTree()
    if (!tree.verify(leaf, path, levels, isSigned)) return false
    if (known !== undefined) this.#trees.delete(signature)
    this.#trees.set(signature, tree)
    if (this.#trees.size > MOST_TREES) this.#trees.delete(this.#trees.keys().next().value!)
    return true
  }
}

/** The nodes of a tree that are known to lead to its signed root, numbered as in a heap: the root is 1, below node n are 2n and 2n + 1. */
class KnownTree {
  /** One block, because a slice of a small buffer would keep the memory of its neighbours. */
  readonly #hashes = Buffer.allocUnsafeSlow(2 * MOST_LEAVES * HASH_BYTES)
  readonly #known = new Set<number>()

  verify(leaf: Buffer, { sides, hashes }: TreePath, levels: number, isSigned: (root: Buffer) => boolean): boolean {
    const found: [number, Buffer][] = []
    let node = leaf
    let number = (1 << levels) | sides
    for (let at = 0; ; at += HASH_BYTES) {
      if (this.#known.has(number)) {
        if (!this.#node(number).equals(node) || !this.#isPath(number, hashes.subarray(at))) return false
        break
      }
      found.push([number, node])
      if (number === 1) {
        if (!isSigned(node)) return false
        break
      }
      const sibling = hashes.subarray(at, at + HASH_BYTES)
      found.push([number ^ 1, sibling])
      node = (number & 1) === 1 ? sha256(NODE, sibling, node) : sha256(NODE, node, sibling)
      number >>= 1
    }
    for (const [place, hash] of found) {
      hash.copy(this.#hashes, place * HASH_BYTES)
      this.#known.add(place)
    }
    return true
  }

  #node(number: number): Buffer {
    return this.#hashes.subarray(number * HASH_BYTES, (number + 1) * HASH_BYTES)
  }

  /** Whether these are the siblings from a known node to the root. They are known too. */
  #isPath(from: number, hashes: Buffer): boolean {
    for (let at = 0, number = from; number > 1; at += HASH_BYTES, number >>= 1) {
      if (!this.#node(number ^ 1).equals(hashes.subarray(at, at + HASH_BYTES))) return false
    }
    return true
  }
}

const sha256 = (...parts: Buffer[]): Buffer => hash('sha256', Buffer.concat(parts), 'buffer')
