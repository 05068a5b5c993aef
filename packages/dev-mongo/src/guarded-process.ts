import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'

type GuardedCommand = {
  file: string
  args: string[]
  cwd: string
  env: NodeJS.ProcessEnv
  /** The guard removes it if this process is killed. */
  temporaryFolder?: string | undefined
  onLine: (line: string) => void
}

export type GuardedProcess = {
  readonly pid: number
  /** Resolves when the process has ended and its output was read. */
  readonly exited: Promise<void>
  /** Whether this process stays for as long as the server runs; `false` lets it end, and the server with it. */
  hold(held: boolean): void
  /** `SIGTERM`, and `SIGKILL` ten seconds later; resolves when it has gone. */
  stop(): Promise<void>
}

/**
 * `$1` is a folder to remove, or empty; the rest is the command. Standard input is a pipe to which the parent never writes: `read` ends
 * when the parent does, even by `kill -9`. Two shells take a megabyte each; a Node process would take forty.
 */
const guard = `
temporary=$1; shift
exec 4<&0
"$@" </dev/null 3>&- 4<&- & server=$!
echo "$server" >&3; exec 3>&-
(
  PATH=/usr/bin:/bin
  read -r _ <&4
  kill -TERM "$server"
  waited=0
  while kill -0 "$server" && [ "$waited" -lt 10 ]; do sleep 1; waited=$((waited + 1)); done
  kill -KILL "$server"
) >/dev/null 2>&1 & watcher=$!
wait "$server"; code=$?
kill "$watcher" 2>/dev/null
if [ -n "$temporary" ] && ! kill -0 "$PPID" 2>/dev/null; then PATH=/usr/bin:/bin rm -rf "$temporary"; fi
exit "$code"
`

/**
 * Starts a program that ends with this process, however this process ends. It has a session of its own, so that Ctrl-C
 * in the terminal doesn't take the database away from workers that are giving their tasks back.
 */
export async function spawnGuarded(command: GuardedCommand): Promise<GuardedProcess> {
  const direct = process.platform === 'win32'
  const child = direct
    ? spawn(command.file, command.args, { cwd: command.cwd, env: command.env, windowsHide: true, stdio: 'pipe' })
    : spawn('/bin/sh', ['-c', guard, 'sh', command.temporaryFolder ?? '', command.file, ...command.args], {
        cwd: command.cwd,
        env: command.env,
        detached: true,
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      })
  child.stdin?.on('error', () => {})
  for (const output of [child.stdout, child.stderr]) {
    if (output) createInterface({ input: output }).on('line', command.onLine)
  }
  const exited = once(child, 'close').then(() => child.stdin?.destroy() && undefined)
  exited.catch(() => {})
  await once(child, 'spawn')
  const pid = direct ? child.pid! : await reportedPid(child)

  const hold = (held: boolean) => {
    for (const handle of [child, ...(child.stdio as (Socket | null)[])]) held ? handle?.ref() : handle?.unref()
  }

  return {
    pid,
    exited,
    hold,
    async stop() {
      hold(true)
      if (direct) child.kill()
      child.stdin?.end()
      await exited
    },
  }
}

async function reportedPid(child: ChildProcess): Promise<number> {
  let text = ''
  for await (const chunk of child.stdio[3] as Socket) text += String(chunk)
  return Number.parseInt(text, 10)
}

/** Whether a process exists on this machine. A zombie counts too. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
