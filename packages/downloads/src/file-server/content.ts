import { createCipheriv, createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { type ByteSize, byteSize } from './byte-size.ts'

/** What a path of the file server serves: bytes made from a seed, or a real file. */
export type FileSpec = { size: ByteSize; seed?: number } | { path: string }

export interface Content {
  readonly size: number
  /** Strong, quotes included. */
  readonly etag: string
  /** The bytes from `from` (included) to `to` (not included). */
  slices(from: number, to: number): AsyncIterable<Buffer>
  /** Lower-case hex; computed when first asked for. */
  sha256(): Promise<string>
}

export async function openContent(spec: FileSpec): Promise<Content> {
  return 'path' in spec ? realFile(spec.path) : generated(byteSize(spec.size), spec.seed ?? 1)
}

const BLOCK = 2 ** 20

/**
 * Any range of up to many GiB without holding it: one random block is repeated, and the first eight bytes of each repetition
 * are its number, so that no two blocks are equal and bytes in the wrong place are noticed.
 */
function generated(size: number, seed: number): Content {
  const key = createHash('sha256').update(`taskfleet ${seed}`).digest()
  const block = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(BLOCK))

  async function* slices(from: number, to: number): AsyncGenerator<Buffer> {
    for (let at = from; at < to; ) {
      const inBlock = at % BLOCK
      const end = Math.min(to - at + inBlock, BLOCK)
      if (inBlock < 8) {
        const number = Buffer.alloc(8)
        number.writeBigUInt64BE(BigInt(Math.floor(at / BLOCK)))
        yield number.subarray(inBlock, end)
      }
      if (end > 8) yield block.subarray(Math.max(inBlock, 8), end)
      at += end - inBlock
    }
  }

  return withHash({ size, etag: `"${key.toString('hex', 0, 6)}-${size}"`, slices })
}

async function realFile(path: string): Promise<Content> {
  const { size, mtimeMs, ino } = await stat(path)
  return withHash({
    size,
    etag: `"${ino}-${size}-${Math.trunc(mtimeMs)}"`,
    slices: (from, to) => createReadStream(path, { start: from, end: Math.max(from, to - 1), highWaterMark: BLOCK }),
  })
}

function withHash(content: Omit<Content, 'sha256'>): Content {
  let known: Promise<string> | undefined
  const compute = async () => {
    const hash = createHash('sha256')
    for await (const slice of content.slices(0, content.size)) {
      hash.update(slice)
      // Generated slices come without any waiting, and the server must go on serving.
      await setImmediate()
    }
    return hash.digest('hex')
  }
  return {
    ...content,
    sha256: () => {
      known ??= compute()
      return known
    },
  }
}
