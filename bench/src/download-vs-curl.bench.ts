import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type FileServer, startFileServer } from '../../examples/downloads/src/file-server/file-server.ts'
import { type Bed, median, storeTasks } from './bed.ts'
import { startWorker } from './worker-child.ts'

const ROUNDS = 3

/** How fast is a verified download of 1 GiB over loopback beside `curl && sha256sum`, and how much memory does it take? */
export async function run(bed: Bed): Promise<void> {
  const files = await startFileServer({ files: { 'large.iso': { size: '1GiB', seed: 1 } } })
  bed.defer(() => files.stop())
  await files.sha256('large.iso')
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-bench-'))
  bed.defer(() => rm(folder, { recursive: true, force: true }))
  const tasks = fileURLToPath(new URL('../dist/tasks.js', import.meta.resolve('@taskfleet/example-downloads')))
  const env = { MALLOC_ARENA_MAX: '1', DOWNLOAD_ROOT: folder, DOWNLOAD_PRIVATE: '1' }
  const worker = await startWorker(bed, ['--tasks', tasks, '--listen', '127.0.0.1:0'], env)
  await sleep(3_000)
  const idleMb = await memoryMb(worker, 'VmRSS')
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    theirs.push(await curl(files, folder))
    const input = {
      url: `${files.url}/large.iso`,
      file: 'ours.iso',
      overwrite: true,
      sha256: await files.sha256('large.iso'),
    }
    const [task] = await storeTasks(bed.fleet, 1, { name: 'download', input })
    for (;;) {
      const now = await bed.fleet.store.find(task!._id)
      if (now?.status === 'failed') throw new Error(JSON.stringify(now.error))
      if (now?.status === 'completed') {
        ours.push((now.output as { seconds: number }).seconds)
        break
      }
      await sleep(100)
    }
  }
  const show = (seconds: readonly number[]): string => seconds.map((one) => one.toFixed(2)).join(', ')
  process.stdout.write(
    [
      `curl && sha256sum   ${show(theirs)} s, median ${median(theirs).toFixed(2)}`,
      `taskfleet           ${show(ours)} s, median ${median(ours).toFixed(2)} (hash, fsync and rename included)`,
      `rate                ${(median(theirs) / median(ours)).toFixed(2)} × curl's (goal ≥ 0.9)`,
      `worker's memory     ${idleMb} MB idle, ${await memoryMb(worker, 'VmHWM')} MB at most (goal < 150)`,
      '',
    ].join('\n'),
  )
}

/** In a process of its own that is not this one, as a user would: this process serves the file. */
async function curl(files: FileServer, folder: string): Promise<number> {
  const startedAt = performance.now()
  const file = join(folder, 'curl.iso')
  const child = spawn('sh', ['-c', `curl -sS -o '${file}' '${files.url}/large.iso' && sha256sum '${file}'`], {
    stdio: 'ignore',
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`curl && sha256sum ended with ${code}`)
  const seconds = (performance.now() - startedAt) / 1_000
  await rm(file)
  return seconds
}

async function memoryMb({ pid }: ChildProcess, field: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kb =
    new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ??
    spawnSync('ps', ['-o', 'rss=', '-p', String(pid)]).stdout.toString()
  return Math.round(Number(kb) / 1_024)
}
