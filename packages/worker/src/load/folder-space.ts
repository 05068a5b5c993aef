import { dirname } from 'node:path'

/** The file system that holds a folder, in bytes. */
export interface DiskSpace {
  /** For this user. */
  free: number
  total: number
}

/** What is asked of a folder; throws what `fs.statfs` throws. */
export type AskFolder<Answer> = (folder: string) => Promise<Answer>

/** How long a reading waits for a disk. A hanging network file system must not stop the other measures. */
const PATIENCE_MS = 500

/** The space of a few folders. */
export class FolderSpace<Answer = DiskSpace> {
  readonly #folders: readonly string[]
  readonly #spaceOf: AskFolder<Answer>
  readonly #known = new Map<string, Answer>()
  /** At most one call for each folder, since a call that hangs holds a thread of Node's pool. */
  readonly #asking = new Map<string, Promise<void>>()

  constructor(folders: Iterable<string>, spaceOf: AskFolder<Answer>) {
    this.#folders = [...new Set(folders)]
    this.#spaceOf = spaceOf
  }

  /**
   * The space by folder. A folder that doesn't answer in time keeps its last figure. One that can't be read has none.
   */
  async read(): Promise<ReadonlyMap<string, Answer>> {
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
      askAround(folder, this.#spaceOf).then((space) => {
        this.#asking.delete(folder)
        if (space === undefined) this.#known.delete(folder)
        else this.#known.set(folder, space)
      })
    this.#asking.set(folder, asking)
    return asking
  }
}

/** Of the folder, or of its nearest existing parent: a handler may create its folder itself. */
async function askAround<Answer>(folder: string, spaceOf: AskFolder<Answer>): Promise<Answer | undefined> {
  try {
    return await spaceOf(folder)
  } catch (error) {
    const around = dirname(folder)
    const missing = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
    return missing && around !== folder ? askAround(around, spaceOf) : undefined
  }
}
