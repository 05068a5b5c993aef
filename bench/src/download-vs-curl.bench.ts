import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'
import { type Bed, median, storeTasks } from './bed.ts'
import { startWorker } from './worker-child.ts'

const ROUNDS = 5

interface Question {
  title: string
  files: string[]
  goal: string
}

const ONE: Question = { title: '1 GiB', files: ['large.iso'], goal: '≥ 0.95' }
const TEN: Question = {
  title: '10 × 100 MiB at once',
  files: Array.from({ length: 10 }, (_, number) => `${number}.iso`),
  goal: '≥ 1',
}

/** How fast are verified downloads over loopback beside `curl && sha256sum`, and how much memory do they take? */
export async function run(bed: Bed): Promise<void> {
  const files = await startFileServer({
    files: {
      'large.iso': { size: '1GiB', seed: 1 },
      ...Object.fromEntries(TEN.files.map((file, number) => [file, { size: '100MiB', seed: number + 2 }])),
    },
  })
  bed.defer(() => files.stop())
  // The server computes them once.
  for (const file of [...ONE.files, ...TEN.files]) await files.sha256(file)
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-bench-'))
  bed.defer(() => rm(folder, { recursive: true, force: true }))
  for (const question of [ONE, TEN]) await ask(bed, files, folder, question)
}

/** Rounds in turns, with a worker of its own for each question, so that its peak is about that question. */
async function ask(bed: Bed, files: FileServer, folder: string, { title, files: names, goal }: Question) {
  const tasks = fileURLToPath(new URL('../dist/tasks.js', import.meta.resolve('@taskfleet/example-downloads')))
  const env = { MALLOC_ARENA_MAX: '1', DOWNLOAD_ROOT: folder, DOWNLOAD_PRIVATE: '1' }
  const args = ['--tasks', tasks, '--listen', '127.0.0.1:0', '--concurrency', String(TEN.files.length)]
  const worker = await startWorker(bed, args, env)
  await sleep(3_000)
  const idleMb = await memoryMb(worker, 'VmRSS')
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    theirs.push(await seconds(() => Promise.all(names.map((name) => curl(files, folder, name)))))
    ours.push(await seconds(() => Promise.all(names.map((name) => download(bed, files, name)))))
    // A file that is there and right is not downloaded again.
    for (const name of names) for (const file of [name, `curl-${name}`]) await rm(join(folder, file))
  }
  const peakMb = await memoryMb(worker, 'VmHWM')
  worker.kill('SIGKILL')
  const ratios = theirs.map((theirSeconds, round) => theirSeconds / ours[round]!)
  const show = (numbers: readonly number[]): string =>
    `${numbers.map((one) => one.toFixed(2)).join(', ')}, median ${median(numbers).toFixed(2)}`
  process.stdout.write(
    [
      `${title}, load average ${loadavg()[0]?.toFixed(1)}`,
      `  curl && sha256sum   ${show(theirs)} s`,
      `  taskfleet           ${show(ours)} s (queue, hash, fsync and rename included)`,
      `  ratio of rates      ${show(ratios)} (goal ${goal})`,
      `  worker's memory     ${idleMb} MB idle, ${peakMb} MB at most (goal ≤ 150)`,
      '',
    ].join('\n'),
  )
}

async function seconds(what: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await what()
  return (performance.now() - startedAt) / 1_000
}

/** From the enqueue on. */
async function download({ fleet }: Bed, files: FileServer, name: string): Promise<void> {
  const input = { url: `${files.url}/${name}`, file: name, sha256: await files.sha256(name) }
  const [task] = await storeTasks(fleet, 1, { name: 'download', input })
  for (;;) {
    const now = await fleet.store.find(task!._id)
    if (now?.status === 'failed') throw new Error(JSON.stringify(now.error))
    if (now?.status === 'completed') return
    await sleep(50)
  }
}

/** In a process of its own that is not this one, as a user would: this process serves the file. */
async function curl(files: FileServer, folder: string, name: string): Promise<void> {
  const file = join(folder, `curl-${name}`)
  const child = spawn('sh', ['-c', `curl -sS -o '${file}' '${files.url}/${name}' && sha256sum '${file}'`], {
    stdio: 'ignore',
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`curl && sha256sum ended with ${code}`)
}

async function memoryMb({ pid }: ChildProcess, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kb =
    new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ??
    spawnSync('ps', ['-o', 'rss=', '-p', String(pid)]).stdout.toString()
  return Math.round(Number(kb) / 1_024)
}
