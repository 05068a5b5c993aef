import type { TaskRow } from '@taskfleet/protocol'
import type { PlannedDownload } from './plan.ts'

export interface Result {
  planned: PlannedDownload
  task: TaskRow
  host: string
  /** Whether it ended as it should. */
  ok: boolean
  verified: boolean
}

export function asPlanned({ expected }: PlannedDownload, task: TaskRow): boolean {
  return task.status === expected.status && (expected.code === undefined || task.error?.code === expected.code)
}

function bytes(count: number): string {
  const units = ['B', 'KB', 'MB', 'GB']
  const power = Math.min(units.length - 1, count > 0 ? Math.floor(Math.log10(count) / 3) : 0)
  return `${(count / 1_000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}

const HEAD = ['FILE', 'ENDED', 'HOST', 'ATTEMPTS', 'BYTES', 'KEPT', 'SHA-256', 'SECONDS', '']

/** The table that `start --once` ends with. */
export function reportTable(results: readonly Result[]): string {
  const rows = results.map(({ planned, task, host, ok, verified }) => {
    const output = task.output as { bytes?: number; resumedFrom?: number } | undefined
    const seconds =
      (Date.parse(task.finishedAt ?? task.updatedAt) - Date.parse(task.startedAt ?? task.createdAt)) / 1_000
    const ended = task.status === 'failed' ? `failed ${task.error?.code ?? ''}` : task.status
    return [
      planned.file,
      ended,
      host,
      String(task.attempt),
      output?.bytes === undefined ? '-' : bytes(output.bytes),
      // What the last attempt found on disk and did not fetch again.
      output?.resumedFrom ? bytes(output.resumedFrom) : '-',
      verified ? 'checked' : '-',
      seconds.toFixed(1),
      ok ? 'as expected' : `EXPECTED ${planned.expected.status} ${planned.expected.code ?? ''}`.trim(),
    ]
  })
  const widths = HEAD.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]!.length)))
  return [HEAD, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Says each change of a task once, in a line. */
export function makeTeller(
  print: (line: string) => void,
  hostName: (worker: string) => string,
): (file: string, task: TaskRow) => void {
  const told = new Map<string, string>()
  return (file, task) => {
    const state = `${task.status} ${task.attempt}`
    if (told.get(task._id) === state) return
    told.set(task._id, state)
    print(`${new Date().toISOString().slice(11, 19)}  ${file.padEnd(18)} ${describe(task, hostName)}`)
  }
}

function describe(task: TaskRow, hostName: (worker: string) => string): string {
  switch (task.status) {
    case 'running':
      return `running on ${hostName(task.worker ?? '')}${task.attempt > 1 ? `, attempt ${task.attempt}` : ''}`
    case 'pending':
      if (task.attempt > 0) return `waiting to be tried again: ${task.error?.code ?? 'given back'}`
      return Date.parse(task.runAt) > Date.now() + 500 ? `scheduled for ${task.runAt.slice(11, 19)}` : 'waiting'
    case 'failed':
      return `failed: ${task.error?.code ?? ''} ${task.error?.message ?? ''}`.trim()
    case 'completed':
    case 'cancelled':
    case 'paused':
    case 'blocked':
      return task.status
  }
}

/** Live bars for a terminal: drawn anew over themselves. */
export function makeBars(
  write: (text: string) => void,
): (rows: readonly { file: string; task: TaskRow; host: string }[]) => void {
  let drawn = 0
  return (rows) => {
    const lines = rows.map(({ file, task, host }) => {
      const ratio = task.status === 'completed' ? 1 : (task.progress?.ratio ?? 0)
      const filled = Math.round(ratio * 24)
      const done = task.progress?.done === undefined ? '' : bytes(task.progress.done)
      return `\u001b[2K${file.padEnd(18)} ${task.status.padEnd(9)} ${'█'.repeat(filled)}${'░'.repeat(24 - filled)} ${(ratio * 100).toFixed(0).padStart(3)} %  ${done.padEnd(10)} ${host}`
    })
    write(`${drawn > 0 ? `\u001b[${drawn}A` : ''}${lines.join('\n')}\n`)
    drawn = lines.length
  }
}
