import { setTimeout as sleep } from 'node:timers/promises'
import { compileFilter } from '@taskfleet/core/internal'
import type { BulkRow, FleetOperations } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { CommandKit } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { printable, printableJson } from './text.ts'

const PROGRESS_MS = 1_000

export function bulkCommands(kit: CommandKit): void {
  const start = operationCommand(kit, 'bulk', 'start', {
    summary: 'start a command on up to 100,000 tasks, which a gateway carries out: `bulk start cancel --filter …`',
    arguments: { '<command>': 'command' },
    prepare(request) {
      if (request.filter !== undefined) compileFilter(request.filter)
      return request
    },
    run({ bulk }, request, { options: { wait, json } }) {
      if (wait !== true) return undefined
      return carriedOut(bulk, () => bulk.start(request), json === true, kit)
    },
    text: bulkLine,
  })
  start.option('--wait', 'print its progress until it has ended; exits with 1 unless all went well')
  operationCommand(kit, 'bulk', 'list', {
    columns: {
      ID: ({ _id }) => _id,
      COMMAND: ({ command }) => command,
      STATE: ({ state }) => state,
      DONE: (row) => `${doneOf(row)} of ${row.matched}`,
      REFUSED: ({ refused }) => refused,
      BY: ({ by }) => by,
      STARTED: ({ startedAt }) => startedAt,
    },
  })
  operationCommand(kit, 'bulk', 'show', { text: bulkText })
  operationCommand(kit, 'bulk', 'stop', { text: bulkLine })
  operationCommand(kit, 'bulk', 'undo', { text: bulkLine })
}

async function carriedOut(
  bulk: FleetOperations['bulk'],
  start: () => Promise<BulkRow>,
  json: boolean,
  { print }: CommandKit,
): Promise<number> {
  let now = await start()
  if (!json) print(bulkLine(now))
  while (now.endedAt === undefined) {
    await sleep(PROGRESS_MS)
    const before = doneOf(now)
    now = await bulk.show({ id: now._id })
    if (!json && now.endedAt === undefined && doneOf(now) !== before) print(bulkLine(now))
  }
  print(json ? printableJson(now) : bulkText(now))
  if (now.state !== 'completed') return EXIT.failed
  return now.refused > 0 ? EXIT.conflict : EXIT.done
}

const doneOf = ({ changed, unchanged, refused }: BulkRow): number => changed + unchanged + refused

const bulkLine = (row: BulkRow): string =>
  `${row._id}  ${row.command}: ${row.state}, ${doneOf(row)} of ${row.matched} done`

function bulkText(row: BulkRow): string {
  const { changed, unchanged, refused, refusals, error } = row
  const counts = `${changed} changed, ${unchanged} already in that state, ${refused} refused`
  const reasons = refusals.map(
    ({ code, message, count, tasks }) =>
      `  ${count} × ${printable(message)} (${code}), such as ${tasks.slice(0, 3).join(', ')}`,
  )
  return [
    bulkLine(row),
    counts,
    ...reasons,
    ...(error === undefined ? [] : [`failed: ${printable(error.message)} (${error.code})`]),
  ].join('\n')
}
