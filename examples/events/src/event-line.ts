import type { EventRow } from '@taskfleet/protocol'

/** An event as a line of the log: how it ended, what it was, and what each of its tasks made of it. */
export function eventLine({ name, status, props, results = [] }: EventRow): string {
  const each = results.map(({ name: task, output, error }) => {
    return error === undefined ? `${task} = ${JSON.stringify(output)}` : `${task}: ${error.code}`
  })
  return [status.padEnd(9), name.padEnd(9), JSON.stringify(props).padEnd(16), each.join(', ')].join(' ').trimEnd()
}
