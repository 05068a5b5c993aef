import { dirname } from 'node:path'

/** Free bytes of the file system that holds a folder, for this user; throws what `fs.statfs` throws. */
export type FreeBytes = (folder: string) => Promise<number>

/** How long a reading waits for a disk. A hanging network file system must not stop the other measures. */
const PATIENCE_MS = 500

/** Free space of a few folders. */
export class FolderSpace {
  readonly #folders: readonly string[]
  readonly #freeBytes: FreeBytes
  readonly #known = new Map<string, number>()
  /** At most one call for each folder, since a call that hangs holds a thread of Node's pool. */
  readonly #asking = new Map<string, Promise<void>>()

  constructor(folders: Iterable<string>, freeBytes: FreeBytes) {
    this.#folders = [...new Set(folders)]
    this.#freeBytes = freeBytes
  }

  /**
   * Free bytes by folder. A folder that doesn't answer in time keeps its last figure. One that can't be read has none.
   */
  async read(): Promise<ReadonlyMap<string, number>> {
    if (this.#folders.length === 0) return this.#known
    let timer: NodeJS.Timeout | undefined
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS)
    })
    await Promise.race([Promise.all(this.#folders.map((folder) => this.#ask(folder))), patience])
    clearTimeout(timer)
    return new Map(this.#known)
  }

  #ask(folder: string): Promise<void> {
    const asking =
      this.#asking.get(folder) ??
      freeSpace(folder, this.#freeBytes).then((bytes) => {
        this.#asking.delete(folder)
        if (bytes === undefined) this.#known.delete(folder)
        else this.#known.set(folder, bytes)
      })
    this.#asking.set(folder, asking)
    return asking
  }
}

/** Of the folder, or of its nearest existing parent: a handler may create its folder itself. */
async function freeSpace(folder: string, freeBytes: FreeBytes): Promise<number | undefined> {
  try {
    return await freeBytes(folder)
  } catch (error) {
    const around = dirname(folder)
    const missing = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
    return missing && around !== folder ? freeSpace(around, freeBytes) : undefined
  }
}
