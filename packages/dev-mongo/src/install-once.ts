import { randomUUID } from 'node:crypto'
import { watch } from 'node:fs'
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isAlive } from './guarded-process.ts'

type Installation = {
  /** The folder of the finished installation. Its path with `.lock` and `.….partial` is used during the installation. */
  folder: string
  /** Whether the installation in `folder` works. */
  usable(folder: string): Promise<boolean>
  /** Fills a folder that is renamed afterwards, so the installation must not depend on its path. */
  install(folder: string): Promise<void>
  /** Called once when another process is already installing. */
  onWait?(): void
}

const staleAfter = 10 * 60_000

/**
 * Installs something once, even if several processes try at the same time or one is killed halfway. The rename makes it safe: the folder
 * is there as a whole or not at all. The lock only keeps a second process from doing the same work.
 */
export async function installOnce(installation: Installation): Promise<void> {
  const { folder, usable, install } = installation
  await mkdir(dirname(folder), { recursive: true })
  if (await usable(folder)) return
  const unlock = await lock(`${folder}.lock`, installation.onWait)
  try {
    if (await usable(folder)) return
    await removeAbandoned(folder)
    const partial = `${folder}.${process.pid}.${randomUUID()}.partial`
    try {
      await install(partial)
      await rm(folder, { recursive: true, force: true })
      await rename(partial, folder)
    } catch (error) {
      await rm(partial, { recursive: true, force: true })
      // Another process may have taken the lock for abandoned and finished first.
      if (!(await usable(folder))) throw error
    }
  } finally {
    await unlock()
  }
}

async function lock(file: string, onWait: (() => void) | undefined): Promise<() => Promise<void>> {
  const mine = `${file}.${process.pid}.${randomUUID()}`
  await writeFile(mine, String(process.pid))
  try {
    for (let first = true; ; first = false) {
      try {
        // A link exists with its content from the start, so no process ever reads an empty lock.
        await link(mine, file)
        return () => rm(file, { force: true })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      if (await isAbandoned(file)) await rm(file, { force: true })
      else {
        if (first) onWait?.()
        await changeIn(dirname(file))
      }
    }
  } finally {
    await rm(mine, { force: true })
  }
}

async function isAbandoned(file: string): Promise<boolean> {
  try {
    const [holder, { mtimeMs }] = await Promise.all([readFile(file, 'utf8'), stat(file)])
    return !isAlive(Number.parseInt(holder, 10)) || Date.now() - mtimeMs > staleAfter
  } catch {
    return false // It has just gone: try to take it.
  }
}

/** Resolves when the folder changes, or after half a second in case the holder of the lock was killed. */
function changeIn(folder: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(folder, done)
    watcher.on('error', done)
    const timer = setTimeout(done, 500)
    function done() {
      clearTimeout(timer)
      watcher.close()
      resolve()
    }
  })
}

async function removeAbandoned(folder: string): Promise<void> {
  const prefix = `${basename(folder)}.`
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(prefix) || !name.endsWith('.partial')) continue
    if (!isAlive(Number.parseInt(name.slice(prefix.length), 10))) {
      await rm(join(dirname(folder), name), { recursive: true, force: true })
    }
  }
}
