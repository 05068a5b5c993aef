import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type FileServer, startFileServer } from '@taskfleet/downloads/file-server'
import { type Bed, median, storeTasks } from './bed.ts'
import { startWorker } from './worker-child.ts'

const ROUNDS = 3
const MIB = 2 ** 20
const SAMPLE_MS = 20

interface Question {
  title: string
  /** Under which query of the file server. */
  query?: string
  files: string[]
  proxy?: string
}

interface Measured {
  seconds: number
  cpuSeconds: number
  peakMb: number
  finished: boolean
}

type Tool = (question: Question, names: readonly string[]) => Promise<Measured>

/**
 * Downloads side by side: `curl` with `sha256sum`, `wget2` and `aria2c` where they are on the PATH, and a worker. Each tool verifies SHA-256 where it
 * can. Rounds in turns; CPU and memory are those of the tool, not of the server.
 */
export async function run(bed: Bed): Promise<void> {
  const files = await startFileServer({
    files: {
      'large.iso': { size: '1GiB', seed: 1 },
      'throttled.bin': { size: 64 * MIB, seed: 2 },
      'dropped.bin': { size: 64 * MIB, seed: 3 },
      ...Object.fromEntries(TEN.map((file, number) => [file, { size: '100MiB', seed: number + 4 }])),
    },
  })
  bed.defer(() => files.stop())
  const proxy = await startProxy()
  bed.defer(() => proxy.stop())
  const questions: Question[] = [
    { title: '1 GiB', files: ['large.iso'] },
    { title: '10 × 100 MiB at once', files: TEN },
    { title: '64 MiB, 4 MiB/s for each connection', files: ['throttled.bin'], query: `?connectionRate=${4 * MIB}` },
    { title: '64 MiB, the server hangs up after each 2 MiB', files: ['dropped.bin'], query: `?dropEach=${2 * MIB}` },
    { title: '100 MiB through a proxy', files: [TEN[0]!], proxy: proxy.url },
  ]
  for (const question of questions) for (const name of question.files) await files.sha256(name)
  for (const question of questions) await ask(bed, files, question)
}

const TEN = Array.from({ length: 10 }, (_, number) => `${number}.iso`)

async function ask(bed: Bed, files: FileServer, question: Question): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-bench-'))
  const tasks = fileURLToPath(new URL('../dist/tasks.js', import.meta.resolve('@taskfleet/example-downloads')))
  const env = { MALLOC_ARENA_MAX: '1', DOWNLOAD_ROOT: folder, DOWNLOAD_PRIVATE: '1' }
  const args = ['--tasks', tasks, '--listen', '127.0.0.1:0', '--concurrency', '10']
  const worker = await startWorker(bed, args, env)
  await sleep(3_000)
  const url = (name: string) => `${files.url}/${name}${question.query ?? ''}`
  const sums = new Map(await Promise.all(question.files.map(async (name) => [name, await files.sha256(name)] as const)))

  const each =
    (command: (name: string) => string[]): Tool =>
    async (_question, names) =>
      joined(await Promise.all(names.map((name) => program(command(name), question.proxy))))
  const tools: Record<string, Tool> = {
    'curl, sha256sum': each((name) => [
      'sh',
      '-c',
      `curl -sSf --retry 100 --retry-all-errors --retry-delay 0 -C - -o '${folder}/curl-${name}' '${url(name)}' && ` +
        `echo '${sums.get(name)}  ${folder}/curl-${name}' | sha256sum -c --status`,
    ]),
    ...(found('wget2') && {
      'wget2, sha256sum': each((name) => [
        'sh',
        '-c',
        `wget2 -q --tries=100 -O '${folder}/wget-${name}' '${url(name)}' && echo '${sums.get(name)}  ${folder}/wget-${name}' | sha256sum -c --status`,
      ]),
    }),
    ...Object.fromEntries(
      (found('aria2c') ? [1, 8] : []).map((connections) => [
        `aria2c -x${connections}`,
        each((name) => [
          ...['aria2c', '-q', `-x${connections}`, `-s${connections}`, '-k1M', '-m100', '--retry-wait=0'],
          ...[`--checksum=sha-256=${sums.get(name)}`, '-d', folder, '-o', `aria-${name}`, url(name)],
        ]),
      ]),
    ),
    taskfleet: async (_question, names) => {
      const before = await usage(worker)
      const started = performance.now()
      const sampler = sample(worker)
      const ends = await Promise.all(
        names.map((name) =>
          download(bed, { url: url(name), file: name, sha256: sums.get(name), proxy: question.proxy ?? 'direct' }),
        ),
      )
      const seconds = (performance.now() - started) / 1_000
      const { peakMb } = sampler.stop()
      const cpuSeconds = (await usage(worker)).cpuSeconds - before.cpuSeconds
      return { seconds, cpuSeconds, peakMb, finished: ends.every(Boolean) }
    },
  }
  const results = new Map<string, Measured[]>()
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, tool] of Object.entries(tools)) {
      results.set(name, [...(results.get(name) ?? []), await tool(question, question.files)])
      for (const file of await readdir(folder)) await rm(join(folder, file))
    }
  }
  worker.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
  const lines = [...results].map(([name, all]) => {
    const figure = (pick: (one: Measured) => number) => median(all.map(pick))
    const done = all.every(({ finished }) => finished) ? '' : '   not finished'
    return `  ${name.padEnd(18)} ${figure(({ seconds }) => seconds).toFixed(2)} s, CPU ${figure(({ cpuSeconds }) => cpuSeconds).toFixed(2)} s, ${figure(({ peakMb }) => peakMb)} MB${done}`
  })
  process.stdout.write(`${[`${question.title}, load average ${loadavg()[0]?.toFixed(1)}`, ...lines].join('\n')}\n\n`)
}

const found = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

const joined = (all: readonly Measured[]): Measured => ({
  seconds: Math.max(...all.map(({ seconds }) => seconds)),
  cpuSeconds: all.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
  peakMb: all.reduce((sum, { peakMb }) => sum + peakMb, 0),
  finished: all.every(({ finished }) => finished),
})

/** A program with all its children; as a user runs it, in a process that is not this one: this one serves the files. */
async function program([command = '', ...args]: readonly string[], proxy?: string): Promise<Measured> {
  const started = performance.now()
  const env = { ...process.env, ...(proxy !== undefined && { http_proxy: proxy }) }
  const child = spawn('bash', ['-c', `TIMEFORMAT='%U %S'; time "$@"`, 'bash', command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env,
  })
  let printed = ''
  child.stderr?.on('data', (text: Buffer) => {
    printed += text.toString()
  })
  const sampler = sample(child)
  const [code] = await once(child, 'exit')
  const seconds = (performance.now() - started) / 1_000
  const [user = 0, system = 0] = (printed.trim().split('\n').at(-1) ?? '').split(' ').map(Number)
  return { seconds, cpuSeconds: user + system, peakMb: sampler.stop().peakMb, finished: code === 0 }
}

/** The most memory that a process and its children had, looked at every few milliseconds. */
function sample(child: ChildProcess): { stop(): { peakMb: number } } {
  let peakMb = 0
  const look = async () => {
    peakMb = Math.max(peakMb, (await usage(child)).mb)
  }
  const timer = setInterval(() => void look(), SAMPLE_MS)
  return {
    stop: () => {
      clearInterval(timer)
      return { peakMb: Math.round(peakMb) }
    },
  }
}

async function usage({ pid }: ChildProcess): Promise<{ cpuSeconds: number; mb: number }> {
  const all = await family(pid ?? 0)
  const read = await Promise.all(
    all.map(async (one) => {
      const [stat, status] = await Promise.all(
        ['stat', 'status'].map((file) => readFile(`/proc/${one}/${file}`, 'utf8').catch(() => '')),
      )
      const ticks = stat!.slice(stat!.lastIndexOf(')') + 2).split(' ')
      const kb = Number(/VmRSS:\s+(\d+)/.exec(status!)?.[1] ?? 0)
      return { cpuSeconds: (Number(ticks[11] ?? 0) + Number(ticks[12] ?? 0)) / 100, mb: kb / 1_024 }
    }),
  )
  return {
    cpuSeconds: read.reduce((sum, one) => sum + one.cpuSeconds, 0),
    mb: read.reduce((sum, one) => sum + one.mb, 0),
  }
}

async function family(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const below = await Promise.all(
    children
      .split(' ')
      .filter(Boolean)
      .map((one) => family(Number(one))),
  )
  return [pid, ...below.flat()]
}

/** From the enqueue on. @returns whether it ended well */
async function download({ fleet }: Bed, input: Record<string, unknown>): Promise<boolean> {
  const [task] = await storeTasks(fleet, 1, { name: 'download', input })
  for (;;) {
    const now = await fleet.store.find(task!._id)
    if (now?.status === 'failed') process.stdout.write(`  ${JSON.stringify(now.error)}\n`)
    if (now?.status === 'failed' || now?.status === 'completed') return now.status === 'completed'
    await sleep(20)
  }
}

/** A plain http: proxy. */
async function startProxy(): Promise<{ url: string; stop(): void }> {
  const server = createServer((asked, answer) => {
    const onward = request(asked.url ?? '', { method: asked.method, headers: asked.headers }, (reply) => {
      answer.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    answer.on('close', () => onward.destroy())
    asked.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}
