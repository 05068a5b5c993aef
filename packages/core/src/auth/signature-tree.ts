import { hash } from 'node:crypto'

/*
 * One signature for several documents: the root of a Merkle hash tree over them is signed, and each document keeps its audit path to
 * the root. The tree is that of RFC 6962, section 2.1; batches of signatures are made as in draft-ietf-ntp-roughtime.
 */

/** A tree has at most this many leaves, so a path has at most four hashes. */
export const MOST_LEAVES = 16
const MOST_LEVELS = Math.log2(MOST_LEAVES)
const HASH_BYTES = 32

// Leaves and nodes are hashed with different first bytes, so that a node can't be presented as a document.
const LEAF = Buffer.of(0)
const NODE = Buffer.of(1)

/** Where a leaf is in its tree. */
export interface TreePath {
  /** One bit for each hash of the path, the lowest for the first: 1 if the hash is the left one of the pair. */
  sides: number
  /** The other hash of each pair, from the leaf to the root, one after the other; at most four of 32 bytes. */
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

/** The root of the tree that has this leaf at the end of this path; undefined if it is not a path. */
export function rootOf(leaf: Buffer, { sides, hashes }: TreePath): Buffer | undefined {
  const levels = hashes.length / HASH_BYTES
  if (!Number.isInteger(levels) || levels < 1 || levels > MOST_LEVELS || sides >= 2 ** levels) return undefined
  let root = leaf
  for (let level = 0; level < levels; level += 1) {
    const sibling = hashes.subarray(level * HASH_BYTES, (level + 1) * HASH_BYTES)
    root = ((sides >> level) & 1) === 1 ? sha256(NODE, sibling, root) : sha256(NODE, root, sibling)
  }
  return root
}

const sha256 = (...parts: Buffer[]): Buffer => hash('sha256', Buffer.concat(parts), 'buffer')
