import { lstat, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FleetError } from '@taskfleet/protocol'

/** Says to `start` that it may empty a folder, and to everybody else that it will. */
const MARK = 'EMPTIED-AT-EACH-START.txt'
const MARK_TEXT = "Taskfleet's `start` made this folder. Each start removes everything in it: keep nothing here.\n"
const NAMED = 3

/**
 * A folder that `start` fills and empties again. Only one that carries its mark is emptied: whatever else has the same name
 * belongs to somebody.
 */
export class OwnFolder {
  readonly path: string
  readonly #clean: boolean

  /** @param clean whether what carries no mark may be removed as well */
  constructor(path: string, clean: boolean) {
    this.path = path
    this.#clean = clean
  }

  /**
   * Changes nothing.
   *
   * @throws {FleetError} `FOLDER_NOT_OURS` where something is there that `start` did not make
   */
  async check(): Promise<void> {
    if (this.#clean) return
    const found = await entriesOf(this.path)
    if (found === undefined || found.length === 0 || (await isMarked(this.path))) return
    const what = found === 'no folder' ? 'is no folder' : `holds ${listed(found)}`
    throw new FleetError(
      'FOLDER_NOT_OURS',
      `${this.path} ${what}, which \`start\` did not make. Choose another place with --folder, or remove it with --clean.`,
    )
  }

  /** Makes it, or empties it. @throws {FleetError} `FOLDER_NOT_OURS` */
  async renew(): Promise<void> {
    await this.check()
    await this.#empty()
    await mkdir(this.path, { recursive: true })
    await writeFile(join(this.path, MARK), MARK_TEXT)
  }

  /** Removes it with all that it holds, unless somebody has put another one in its place. */
  async remove(): Promise<void> {
    if (await isMarked(this.path)) await rm(this.path, { recursive: true, force: true })
  }

  /** Its entries and not the folder itself, which may be a mounted disk. Links are removed, never followed. */
  async #empty(): Promise<void> {
    const found = await entriesOf(this.path)
    if (found === 'no folder') await rm(this.path)
    else for (const name of found ?? []) await rm(join(this.path, name), { recursive: true, force: true })
  }
}

async function entriesOf(path: string): Promise<string[] | 'no folder' | undefined> {
  const stats = await lstat(path).catch(unlessMissing)
  if (stats === undefined) return undefined
  return stats.isDirectory() ? readdir(path) : 'no folder'
}

async function isMarked(path: string): Promise<boolean> {
  const stats = await lstat(path).catch(unlessMissing)
  if (stats?.isDirectory() !== true) return false
  return (await readFile(join(path, MARK), 'utf8').catch(() => '')) === MARK_TEXT
}

/**
 * Writes a file of ours, readable by its owner only.
 *
 * @param isOurs whether the text that is there was written by an earlier start
 * @throws {FleetError} `FOLDER_NOT_OURS` where it holds anything else
 */
export async function writeOwnFile(path: string, text: string, isOurs: (found: string) => boolean): Promise<void> {
  const found = await readFile(path, 'utf8').catch(unlessMissing)
  if (found !== undefined && !isOurs(found)) {
    throw new FleetError(
      'FOLDER_NOT_OURS',
      `${path} is a file that \`start\` did not write. Choose another place with --folder, or move the file away.`,
    )
  }
  await writeFile(path, text, { mode: 0o600 })
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED
  return [...names.slice(0, NAMED), ...(more > 0 ? [`${more} more`] : [])].join(', ')
}
