import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FleetClient } from '@taskfleet/client'
import { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'
import { hasEnded, type TaskRow } from '@taskfleet/protocol'
import { requireFreePort } from './free-port.ts'
import { isWatched, keepMoving } from './keep-moving.ts'
import { type PlannedDownload, planDownloads, servedFiles } from './plan.ts'
import type { FleetProcess, FleetProcesses } from './processes.ts'
import { asPlanned, makeBars, makeTeller, type Result, reportTable } from './report.ts'
import { openWorkplace, type Workplace } from './workplace.ts'

export interface StartOptions {
  once: boolean
  /** Kills a host with `kill -9` while it downloads. */
  kill: boolean
  /** One folder for all hosts, as on a disk that they share. */
  shared: boolean
  /** Goes on with other downloads while somebody watches. */
  more: boolean
  hosts: number
  port: number
  slots: number
  url: string[]
  /** Makes the files smaller, for a quick run. */
  scale: number
  folder: string
  /** Also removes files that `start` did not make from the folder of the downloads. */
  clean: boolean
}

const LISTED = 'status attempt worker progress error output runAt createdAt startedAt finishedAt updatedAt'.split(' ')

/**
 * Runs the main job until the signal or, with `once`, until every download has ended.
 *
 * @param processes collects the started processes, so that the caller can end them at once
 * @returns the exit code
 */
export async function start(options: StartOptions, signal: AbortSignal, processes: FleetProcesses): Promise<number> {
  const print = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  const opened: (() => Promise<unknown> | unknown)[] = []
  try {
    await requireFreePort(options.port)
    const workplace = await openWorkplace({ ...options, print })
    opened.push(() => workplace.close())
    processes.include(async () => workplace.mongo.kill?.())
    if (options.once) opened.push(() => workplace.downloads.remove())
    const files = await startFileServer({ files: servedFiles(options.scale) })
    opened.push(() => files.stop())
    opened.push(() => processes.stop())
    const gateway = await processes.start(
      'gateway',
      ['gateway', '--listen', `127.0.0.1:${options.port}`],
      processEnv(workplace),
    )
    print(`\nMonitor: ${gateway.listening.url}/#token=${workplace.token}\n`)
    const hosts = await startHosts(options, workplace, processes)
    const client = new FleetClient({ url: gateway.listening.url, token: workplace.token })
    opened.push(() => client.close())
    signal.throwIfAborted()
    const results = await runDownloads({
      options,
      client,
      files,
      hosts,
      gateway: gateway.listening.url,
      token: workplace.token,
      print,
      signal,
    })
    if (results === undefined) return 0
    print(`\n${reportTable(results)}`)
    const failed = results.filter(({ ok }) => !ok).length
    print(`\n${results.length - failed} of ${results.length} ended as they should`)
    return failed === 0 ? 0 : 1
  } catch (error) {
    if (signal.aborted) return 0
    throw error
  } finally {
    // If closing one fails, the others are still closed.
    for (const close of opened.reverse()) await Promise.allSettled([Promise.resolve().then(close)])
  }
}

/** How long a download waits for its host to come back. A real fleet would wait for longer. */
const WAIT = '5s'

function processEnv({ uri, downloads, secret }: Workplace, folder = ''): NodeJS.ProcessEnv {
  return {
    TASKFLEET_MONGO_URI: uri,
    ...(secret === undefined ? {} : { TASKFLEET_SECRET: secret }),
    DOWNLOAD_ROOT: join(downloads.path, folder),
    DOWNLOAD_WAIT: WAIT,
    // The file server runs on this computer. Downloads from the database on this computer stay refused.
    DOWNLOAD_PRIVATE: '1',
    DOWNLOAD_BLOCKED: uri.replace(/^mongodb(\+srv)?:\/\/([^@]*@)?/, '').replace(/[/?].*$/, ''),
  }
}

/** Three processes stand for three hosts, each with a folder and at an address of its own where the computer allows. */
function startHosts(
  { hosts, slots, shared }: StartOptions,
  workplace: Workplace,
  processes: FleetProcesses,
): Promise<FleetProcess[]> {
  const tasks = new URL('../tasks.js', import.meta.url).pathname
  const args = ['worker', '--tasks', tasks, '--concurrency', String(slots), '--grace', '0s']
  return Promise.all(
    Array.from({ length: hosts }, async (_, index) => {
      const address = process.platform === 'linux' ? `127.0.0.${index + 2}` : '127.0.0.1'
      const name = `host-${String.fromCharCode(97 + index)}`
      const folder = shared ? '' : name
      await mkdir(join(workplace.downloads.path, folder), { recursive: true })
      return processes.start(name, [...args, '--listen', `${address}:0`], processEnv(workplace, folder))
    }),
  )
}

interface Run {
  options: StartOptions
  client: FleetClient
  files: FileServer
  hosts: readonly FleetProcess[]
  /** The gateway's address. */
  gateway: string
  token: string
  print: (line: string) => void
  signal: AbortSignal
}

/** Posts the downloads and follows them. Undefined when it was stopped. */
async function runDownloads({
  options,
  client,
  files,
  hosts,
  gateway,
  token,
  print,
  signal,
}: Run): Promise<Result[] | undefined> {
  const hostName = (worker: string): string => hosts.find(({ listening }) => listening.worker === worker)?.name ?? '-'
  const planned = new Map<string, PlannedDownload>()
  const tasks = new Map<string, TaskRow>()
  const lastHost = new Map<string, string>()
  const since = new Date(Date.now() - 60_000).toISOString()
  const plan = await planDownloads(files, options.scale, options.url)
  const terminal = process.stdout.isTTY === true && !options.once
  const tell = makeTeller(print, hostName)
  const draw = makeBars((text) => process.stdout.write(text))
  let killed = !options.kill
  let finish: () => void = () => undefined
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })

  const killHost = (task: TaskRow): void => {
    const host = hosts.find(({ listening }) => listening.worker === task.worker)
    if (host === undefined) return
    killed = true
    print(
      `\n${host.name} (process ${host.pid}) is killed with SIGKILL while it downloads ${planned.get(task._id)?.file}\n`,
    )
    host.kill()
  }

  const look = (rows: readonly TaskRow[]): void => {
    for (const row of rows) {
      const { file } = planned.get(row._id) ?? {}
      if (file === undefined) continue
      tasks.set(row._id, row)
      if (row.worker !== undefined) lastHost.set(row._id, hostName(row.worker))
      if (!terminal) tell(file, row)
      if (!killed && file === 'carried-over.img' && row.status === 'running' && (row.progress?.ratio ?? 0) > 0.25)
        killHost(row)
    }
    if (terminal)
      draw([...tasks].map(([id, task]) => ({ file: planned.get(id)!.file, task, host: lastHost.get(id) ?? '' })))
    if (tasks.size === plan.length && [...tasks.values()].every(({ status }) => hasEnded(status))) finish()
  }

  const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  await client.subscribe(
    { filter: { name: 'download', createdAt: { $gte: since } }, sort: { createdAt: 1 }, limit: 1_000, fields: LISTED },
    look,
  )
  const posting = Promise.all(
    plan.map(async (download) => {
      if (download.afterMs > 0) await sleep(download.afterMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      const task = await client.enqueue({ name: 'download', input: download.input, ...download.options })
      planned.set(task._id, download)
      look([task])
    }),
  )
  await Promise.race([Promise.all([posting, finished]), stopped])
  if (signal.aborted) return undefined
  const results = [...planned].map(([id, download]): Result => {
    const task = tasks.get(id)!
    const { sha256 } = (task.output ?? {}) as { sha256?: string }
    const verified = sha256 !== undefined && (download.input.sha256 === undefined || sha256 === download.input.sha256)
    const ok = asPlanned(download, task) && (task.status !== 'completed' || verified)
    return { planned: download, task, host: lastHost.get(id) ?? '-', ok, verified }
  })
  if (options.once) return results
  print('\nAll downloads have ended. The fleet goes on; post more from the monitor, or press Ctrl-C.')
  if (options.more) {
    print('While a monitor is open, a few other downloads run, each for a minute or more.')
    await keepMoving({ client, files, watched: () => isWatched(gateway, token), scale: options.scale, signal })
  }
  await stopped
  return undefined
}
