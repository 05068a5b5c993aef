import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Fleet } from '@taskfleet/core'
import { startMongo } from '@taskfleet/dev-mongo'
import type { DownloadOutput } from '@taskfleet/downloads'
import { startFileServer } from '@taskfleet/downloads/file-server'
import { countFault } from '@taskfleet/testkit/count-fault'
import { CommandProcess } from '@taskfleet/testkit/fleet/command-process'
import { expect, test } from 'vitest'

const MAIN = fileURLToPath(import.meta.resolve('taskfleet/main'))
const TASKS = fileURLToPath(new URL('../../dist/tasks.js', import.meta.url))
const HOSTS = ['host-a', 'host-b', 'host-c']
const SLOTS = 4
/** How long the faults go on: ten minutes, or what the variable says. */
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 600)
const FILES = Math.max(12, Math.round(SECONDS / 3))
const SIZE = 8 * 2 ** 20
/** At this rate for each, all of them take about as long as the faults go on. */
const RATE = Math.round((SIZE * FILES) / (HOSTS.length * SLOTS * SECONDS))

const random = (from: number, to: number): number => from + Math.random() * (to - from)

/** A host: a process with a disk of its own, which something restarts whenever it has died. */
class Host {
  readonly #name: string
  readonly #root: string
  readonly #env: NodeJS.ProcessEnv
  #process: CommandProcess | undefined
  kills = 0

  constructor(name: string, root: string, env: NodeJS.ProcessEnv) {
    this.#name = name
    this.#root = root
    this.#env = { ...env, DOWNLOAD_ROOT: root }
  }

  /** As a service manager: tries again while the database is away. */
  async start(): Promise<void> {
    await mkdir(this.#root, { recursive: true })
    const args = ['worker', '--tasks', TASKS, '--concurrency', String(SLOTS), '--listen', '127.0.0.1:0']
    for (;;) {
      this.#process = new CommandProcess([MAIN, ...args, '--name', this.#name], { env: this.#env })
      const started = await this.#process.line(/"url"/).then(
        () => true,
        () => false,
      )
      if (started) return
      const text = this.#process.lines.join('\n')
      if (!text.includes('NO_DATABASE')) throw new Error(`${this.#name} does not start: ${text}`)
      await sleep(1_000)
    }
  }

  async kill(): Promise<void> {
    this.kills += 1
    countFault('a host is killed')
    await this.#process?.signal('SIGKILL')
    await sleep(random(500, 4_000))
    await this.start()
  }

  async stop(): Promise<void> {
    await this.#process?.signal('SIGTERM')
  }
}

test(`${FILES} downloads end well on three hosts with a disk each, while hosts and the database are killed and stopped`, async () => {
  const home = await mkdtemp(join(tmpdir(), 'taskfleet-disks-'))
  const mongo = await startMongo({ syncOnCommit: true, env: { ...process.env, TASKFLEET_MONGO_URI: undefined } })
  const address = new URL(mongo.uri)
  address.pathname = '/disks'
  const names = Array.from({ length: FILES }, (_, n) => `${n}.bin`)
  const files = await startFileServer({
    files: Object.fromEntries(names.map((name, seed) => [name, { size: SIZE, seed }])),
  })
  const fleet = await Fleet.connect(address.href)
  const env = { TASKFLEET_MONGO_URI: address.href, DOWNLOAD_PRIVATE: '1', TASKFLEET_SECRET: 's'.repeat(40) }
  const hosts = HOSTS.map((name) => new Host(name, join(home, name), env))
  try {
    await Promise.all(hosts.map((host) => host.start()))
    const sums = new Map(await Promise.all(names.map(async (file) => [file, await files.sha256(file)] as const)))
    const { tasks } = fleet.as()
    for (let at = 0; at < FILES; at += 50) {
      const some = names.slice(at, at + 50)
      const input = (file: string) => ({ url: `${files.url}/${file}?rate=${RATE}`, file, sha256: sums.get(file) })
      await tasks.enqueueMany({
        tasks: some.map((file) => ({ name: 'download', input: input(file), maxAttempts: 10 })),
      })
    }
    const end = performance.now() + SECONDS * 1_000
    const until = async (act: () => Promise<void>, least: number, most: number): Promise<void> => {
      for (;;) {
        await sleep(random(least, most))
        if (performance.now() > end) return
        await act()
      }
    }
    const killing = hosts.map((host) => until(() => host.kill(), 10_000, 40_000))
    const stopping = until(
      async () => {
        const gone = Math.random() < 0.5
        countFault(gone ? 'database is gone' : 'database stands still')
        await mongo.kill?.(gone ? 'SIGKILL' : 'SIGSTOP')
        await sleep(random(3_000, 12_000))
        await (gone ? mongo.restart?.() : mongo.kill?.('SIGCONT'))
      },
      30_000,
      60_000,
    )
    await Promise.all([...killing, stopping])
    const left = () => fleet.tasks.countDocuments({ status: { $in: ['pending', 'running'] } })
    while ((await left().catch(() => 1)) > 0) await sleep(500)

    const ended = await fleet.tasks.find({}).toArray()
    expect(ended.filter(({ status }) => status !== 'completed').map(({ input, error }) => ({ input, error }))).toEqual(
      [],
    )
    const fetched = names.reduce((sum, name) => sum + files.served(name).bytes, 0)
    const moved = ended.filter(({ attempts }) => new Set(attempts.map(({ host }) => host)).size > 1).length
    const kills = hosts.reduce((sum, host) => sum + host.kills, 0)
    const more = ended.filter(({ attempt }) => attempt > 1).length
    process.stdout.write(
      `${FILES} downloads, ${kills} kills; ${more} took several attempts, ${moved} of them on several hosts; fetched ${(fetched / (FILES * SIZE)).toFixed(3)} × their size\n`,
    )
    for (const task of ended) {
      const { file, sha256 } = task.output as DownloadOutput
      const content = await readFile(join(home, String(task.host), file))
      expect([file, createHash('sha256').update(content).digest('hex')]).toEqual([file, sums.get(file)])
      expect(sha256).toBe(sums.get(file))
    }
    expect(fetched / (FILES * SIZE)).toBeLessThanOrEqual(1.15)
  } finally {
    await mongo.kill?.('SIGCONT').catch(() => undefined)
    await Promise.allSettled(hosts.map((host) => host.stop()))
    await Promise.allSettled([fleet.close(), files.stop()])
    await mongo.stop()
    await rm(home, { recursive: true, force: true })
  }
})
