import { compileQuery, parseId } from '@taskfleet/core/internal'
import { FleetError, hasEnded, parseJson, type TaskRow } from '@taskfleet/protocol'
import { EXIT } from './exit.ts'
import type { CollectionQuery, FleetView } from './fleet-view.ts'
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
  const shown = { print, json: options.json === true, terminal }
  return withFleet(options, async ({ tasks }, view) => {
    if (wanted !== undefined) await tasks.show(wanted)
    return follow(view, query, shown, { wanted })
  })
}

/** How many ids a filter may have. */
export const IDS_AT_A_TIME = 100

/** Where and how rows are shown. */
export interface Shown {
  print: Print
  json: boolean
  /** With bars that move. */
  terminal: boolean
}

/** Follows these tasks until all have ended, 100 at a time in their order. Returns the exit code: 1 unless all have completed. */
export async function watchIds(view: FleetView, ids: readonly string[], shown: Shown): Promise<number> {
  let code: number = EXIT.done
  for (let at = 0; at < ids.length; at += IDS_AT_A_TIME) {
    const filter = { _id: { $in: ids.slice(at, at + IDS_AT_A_TIME) } }
    const query = { collection: 'tasks', filter, sort: { _id: 1 }, limit: IDS_AT_A_TIME } as const
    const ended = await follow(view, query, shown, { fixed: true })
    if (ended === EXIT.interrupted) return ended
    code ||= ended
  }
  return code
}

/**
 * Shows the rows of a query until all have ended. Returns the exit code: 1 unless all have completed.
 *
 * @param options.wanted the id, if the query is for one task
 * @param options.fixed whether all tasks that the query can find are stored
 */
function follow(
  view: FleetView,
  query: CollectionQuery<'tasks'>,
  { print, json, terminal }: Shown,
  { wanted, fixed = false }: { wanted?: string | undefined; fixed?: boolean },
): Promise<number> {
  let stop = (): void => undefined
  const code = new Promise<number>((resolve, reject) => {
    const show = makeShow(print, json, terminal)
    let rows = new Map<string, TaskRow>()
    const seen = (changed: readonly TaskRow[]): void => {
      for (const row of changed) rows.set(row._id, row)
      if (changed.length > 0) show([...rows.values()], changed)
      const all = [...rows.values()]
      if ((fixed || all.length > 0) && all.every(({ status }) => hasEnded(status))) {
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
    const interrupted = (): void => resolve(EXIT.interrupted)
    process.once('SIGINT', interrupted)
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
    stop = () => {
      process.off('SIGINT', interrupted)
      watching.then((close) => close()).catch(() => undefined)
    }
  })
  return code.finally(() => stop())
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
