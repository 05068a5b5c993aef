import { compileQuery, parseId } from '@taskfleet/core/internal'
import { FleetError, hasEnded, parseJson, type TaskRow } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import type { CommonOptions } from './options.ts'
import { bar, printable, printableJson, progressText } from './text.ts'
import { withFleet } from './with-fleet.ts'

export function watchCommand({ json, act, print }: CommandKit): void {
  json('watch', 'follow tasks live until they have ended')
    .argument('[id]')
    .option('--filter <json>', 'follow all matching tasks')
    .action(
      act((id: string | undefined, options: WatchCommand) => watch(id, options, print, process.stdout.isTTY === true)),
    )
}

interface WatchCommand extends CommonOptions {
  filter?: string
}

/** `taskfleet watch ID|--filter JSON`: one line per change, or live bars on a terminal, until all have ended. */
async function watch(id: string | undefined, options: WatchCommand, print: Print, terminal: boolean): Promise<number> {
  if ((id === undefined) === (options.filter === undefined))
    throw new FleetError('BAD_FILTER', 'Give either an id or --filter')
  const wanted = id === undefined ? undefined : parseId(id).toHexString()
  const filter = wanted === undefined ? parseJson(options.filter!, '--filter') : { _id: wanted }
  if (filter === null) throw new FleetError('BAD_FILTER', "'--filter' is an object", { field: '--filter' })
  const query = {
    collection: 'tasks',
    filter: filter as Record<string, unknown>,
    sort: { _id: 1 },
    limit: 200,
  } as const
  // Checked before anything is connected.
  compileQuery(query)
  return withFleet(options, async ({ tasks }, view) => {
    if (wanted !== undefined) await tasks.show(wanted)
    return new Promise<number>((resolve, reject) => {
      const show = makeShow(print, options.json === true, terminal)
      let rows = new Map<string, TaskRow>()
      const seen = (changed: readonly TaskRow[]): void => {
        for (const row of changed) rows.set(row._id, row)
        if (changed.length > 0) show([...rows.values()], changed)
        const all = [...rows.values()]
        if (all.length > 0 && all.every(({ status }) => hasEnded(status))) {
          resolve(all.every(({ status }) => status === 'completed') ? EXIT.done : EXIT.failed)
        }
      }
      /** Tasks that the filter no longer matches: one that has ended counts, the others are dropped. */
      const left = async (ids: readonly string[]): Promise<void> => {
        for (const gone of ids) {
          const [task] = await view.rows({ collection: 'tasks', filter: { _id: gone }, limit: 1 })
          if (task !== undefined && hasEnded(task.status)) rows.set(gone, task)
          else if (task === undefined || wanted === undefined) rows.delete(gone)
        }
        seen(ids.flatMap((gone) => rows.get(gone) ?? []))
        if (rows.size === 0) resolve(wanted === undefined ? EXIT.done : EXIT.failed)
      }
      process.once('SIGINT', () => resolve(EXIT.interrupted))
      const watching = view.watchRows(query, (all, delta) => {
        if (delta === null) {
          rows = new Map()
          seen(all)
          return
        }
        seen([...delta.added, ...delta.changed].map(({ row }) => row))
        if (delta.removed.length > 0) left(delta.removed).catch(reject)
      })
      watching.catch(reject)
    })
  })
}

function makeShow(
  print: Print,
  json: boolean,
  terminal: boolean,
): (all: readonly TaskRow[], changed: readonly TaskRow[]) => void {
  const line = (row: TaskRow): string =>
    `${row._id}  ${printable(String(row.status)).padEnd(9)}  ${bar(row.progress?.ratio ?? (row.status === 'completed' ? 1 : 0))}  ${printable(String(row.name))}  ${progressText(row)}`
  if (json) return (_all, changed) => changed.forEach((row) => print(printableJson(row)))
  if (!terminal) return (_all, changed) => changed.forEach((row) => print(line(row)))
  let drawn = 0
  return (all) => {
    // Moves up to the first bar and writes each line again.
    const up = drawn > 0 ? `\u001b[${drawn}A` : ''
    // Written directly, since `print` would escape the moves of the cursor.
    process.stdout.write(`${up}${all.map((row) => `\u001b[2K${printable(line(row))}\n`).join('')}`)
    drawn = all.length
  }
}
