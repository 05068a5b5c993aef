import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseNewTask } from '@taskfleet/core/internal'
import { type FileServer, startFileServer } from '../../examples/downloads/src/file-server/file-server.ts'
import { median, openBed } from './bed.ts'

const ROUNDS = 3

/** How fast is a verified download of 1 GiB over loopback beside `curl && sha256sum`, and how much memory does it take? */
export async function run(): Promise<void> {
  const bed = await openBed()
  const files = await startFileServer({ files: { 'large.iso': { size: '1GiB', seed: 1 } } })
  await files.sha256('large.iso')
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-bench-'))
  const worker = await startWorker(bed.uri, folder)
  const idleMb = await worker.memoryMb('VmRSS')
  const ours: number[] = []
  const theirs: number[] = []
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      theirs.push(await curl(files, folder))
      const [task] = await bed.fleet.store.enqueue([
        parseNewTask({
          name: 'download',
          input: {
            url: `${files.url}/large.iso`,
            file: 'ours.iso',
            overwrite: true,
            sha256: await files.sha256('large.iso'),
          },
        }),
      ])
      for (;;) {
        const now = await bed.fleet.store.find(task!._id)
        if (now?.status === 'failed') throw new Error(JSON.stringify(now.error))
        if (now?.status === 'completed') {
          ours.push((now.output as { seconds: number }).seconds)
          break
        }
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
    const show = (seconds: readonly number[]): string => seconds.map((one) => one.toFixed(2)).join(', ')
    process.stdout.write(
      [
        `curl && sha256sum   ${show(theirs)} s, median ${median(theirs).toFixed(2)}`,
        `taskfleet           ${show(ours)} s, median ${median(ours).toFixed(2)} (hash, fsync and rename included)`,
        `rate                ${(median(theirs) / median(ours)).toFixed(2)} × curl's (goal ≥ 0.9)`,
        `worker's memory     ${idleMb} MB idle, ${await worker.memoryMb('VmHWM')} MB at most (goal < 150)`,
        '',
      ].join('\n'),
    )
  } finally {
    worker.kill()
    await files.stop()
    await rm(folder, { recursive: true, force: true })
    await bed.close()
  }
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

async function startWorker(uri: string, folder: string) {
  const path = (specifier: string, file: string): string => fileURLToPath(new URL(file, import.meta.resolve(specifier)))
  const main = path('@taskfleet/worker/main', './main.js')
  const tasks = path('@taskfleet/example-downloads', '../dist/tasks.js')
  const child = spawn(process.execPath, [main, 'worker', '--tasks', tasks, '--listen', '127.0.0.1:0'], {
    env: {
      ...process.env,
      MALLOC_ARENA_MAX: '1',
      TASKFLEET_MONGO_URI: uri,
      DOWNLOAD_ROOT: folder,
      DOWNLOAD_PRIVATE: '1',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(createInterface({ input: child.stdout }), 'line')
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  return {
    kill: () => child.kill('SIGKILL'),
    memoryMb: async (field: 'VmRSS' | 'VmHWM'): Promise<number> => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')
      const kb =
        new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ??
        spawnSync('ps', ['-o', 'rss=', '-p', String(child.pid)]).stdout.toString()
      return Math.round(Number(kb) / 1_024)
    },
  }
}
