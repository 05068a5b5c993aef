import { execFile } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { promisify } from 'node:util'

/** A process that listens on a port. */
export interface PortHolder {
  pid: number
  /** Its program and, for a script, the script's file. The rest of the command line may contain secrets. */
  command: string
}

const LSOF_MS = 2_000
/** `TCP_LISTEN` as the kernel writes it. */
const LISTENING = '0A'

/**
 * The process that listens on a TCP port of this computer, if the system shows it. It hides the processes of other users, and Windows
 * has no such query.
 */
export async function portHolder(port: number): Promise<PortHolder | undefined> {
  const find = process.platform === 'linux' ? fromProc : process.platform === 'win32' ? undefined : fromLsof
  return find?.(port).catch(() => undefined)
}

async function fromProc(port: number): Promise<PortHolder | undefined> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((table) => readFile(table, 'utf8').catch(() => '')),
  )
  const sockets = new Set(tables.flatMap((table) => listeningSockets(table, port)))
  if (sockets.size === 0) return undefined
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    if (await holdsOneOf(sockets, pid)) return { pid: Number(pid), command: await commandOf(pid) }
  }
  return undefined
}

/** The sockets that listen on a port, in a table such as `/proc/net/tcp`, as `/proc/PID/fd` names them. */
function listeningSockets(table: string, port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => state === LISTENING && local.endsWith(suffix))
    .map((columns) => `socket:[${columns[9]}]`)
}

async function holdsOneOf(sockets: ReadonlySet<string>, pid: string): Promise<boolean> {
  const files = await readdir(`/proc/${pid}/fd`).catch(() => [])
  for (const file of files) {
    const target = await readlink(`/proc/${pid}/fd/${file}`).catch(() => '')
    if (sockets.has(target)) return true
  }
  return false
}

async function commandOf(pid: string): Promise<string> {
  const [program = '', ...args] = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
  const script = args.find((arg) => /\.[cm]?[jt]s$/.test(arg))
  return [program, script].flatMap((path) => (path === undefined ? [] : [basename(path)])).join(' ')
}

async function fromLsof(port: number): Promise<PortHolder | undefined> {
  const { stdout } = await promisify(execFile)('lsof', ['-nP', `-iTCP:${port}`, '-sTCP:LISTEN', '-Fpc'], {
    timeout: LSOF_MS,
  })
  const pid = /^p(\d+)$/m.exec(stdout)?.[1]
  return pid === undefined ? undefined : { pid: Number(pid), command: /^c(.+)$/m.exec(stdout)?.[1] ?? '' }
}
