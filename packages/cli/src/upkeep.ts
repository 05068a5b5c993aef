import {
  type EndedStatus,
  FleetDatabase,
  INDEXES,
  indexLabel,
  type Migrated,
  WorkerRegister,
} from '@taskfleet/core/internal'
import { durationText, FleetError, type PruneRequest, type Retention, VERSION } from '@taskfleet/protocol'
import { databaseOf } from './address.ts'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { type CommonOptions, parseEnded, parseKept, parseMs } from './options.ts'
import { oneLine, printableJson } from './text.ts'
import { withFleet } from './with-fleet.ts'

/** The commands that keep the database in order. */
export function upkeepCommands(kit: CommandKit): void {
  const { act, print } = kit
  kit
    .json('retention', 'how long ended tasks are kept; with an option, from now on')
    .option('--completed <duration|forever>', 'such as 7d', parseKept)
    .option('--failed <duration|forever>', 'such as 30d', parseKept)
    .option('--cancelled <duration|forever>', 'such as 7d', parseKept)
    .action(act((options: RetentionCommand) => retention(options, print)))
  kit
    .json('prune', 'remove ended tasks and their log lines for good: what retention no longer keeps, or what you say')
    .option('--status <names>', 'how they ended: completed, failed, cancelled', parseEnded)
    .option('--older-than <duration>', 'ended at least so long ago, such as 7d', parseMs)
    .option('--name <name>', 'only tasks of this name')
    .option('--dry-run', 'only count what is meant')
    .option('--yes', 'needed on a terminal: what is removed is gone')
    .action(act((options: PruneCommand) => prune(options, print, process.stdin.isTTY === true)))
  kit
    .json(
      'migrate',
      'bring the database to this version: make new indexes, then drop obsolete ones; harmless to repeat',
    )
    .action(act((options: CommonOptions) => migrate(options, print)))
}

type RetentionCommand = CommonOptions & Partial<Record<EndedStatus, number | 'forever'>>

/** `taskfleet retention` */
function retention(options: RetentionCommand, print: Print): Promise<number> {
  const { completed, failed, cancelled } = options
  const changes: Partial<Retention> = Object.fromEntries(
    Object.entries({ completed, failed, cancelled }).flatMap(([status, kept]) =>
      kept === undefined ? [] : [[status, kept === 'forever' ? null : kept]],
    ),
  )
  return withFleet(options, async ({ retention }) => {
    const wanted = Object.keys(changes).length > 0
    const policy = wanted ? await retention.set(changes) : await retention.show()
    if (options.json === true) print(printableJson(policy))
    else for (const [status, kept] of Object.entries(policy)) print(`${status.padEnd(10)} ${keptText(kept)}`)
    return EXIT.done
  })
}

const keptText = (kept: number | null): string => (kept === null ? 'forever' : durationText(kept, { parts: 5 }))

interface PruneCommand extends CommonOptions {
  status?: EndedStatus[]
  /** In milliseconds. */
  olderThan?: number
  name?: string
  dryRun?: boolean
  yes?: boolean
}

/**
 * `taskfleet prune`
 *
 * @param terminal whether a person may have typed it, who must say so twice
 */
function prune(options: PruneCommand, print: Print, terminal: boolean): Promise<number> {
  const { status, olderThan, name, dryRun = false, yes = false } = options
  const request: PruneRequest = {
    ...(status === undefined ? {} : { statuses: status }),
    ...(olderThan === undefined ? {} : { olderThanMs: olderThan }),
    ...(name === undefined ? {} : { name }),
  }
  return withFleet(options, async ({ retention }) => {
    if (terminal && !dryRun && !yes) {
      const { matched } = await retention.prune({ ...request, dryRun: true })
      throw new FleetError('BAD_REQUEST', `This would remove ${tasksText(matched)} for good: say --yes if you mean it`)
    }
    const pruned = await retention.prune({ ...request, dryRun })
    if (options.json === true) print(printableJson(pruned))
    else print(dryRun ? `${tasksText(pruned.matched)} would be removed` : `${tasksText(pruned.removed)} removed`)
    return EXIT.done
  })
}

const tasksText = (count: number): string => `${count} ${count === 1 ? 'task' : 'tasks'}`

/** `taskfleet migrate` */
async function migrate(options: CommonOptions, print: Print): Promise<number> {
  const database = await FleetDatabase.connect(databaseOf(options))
  try {
    const live = await new WorkerRegister(database.connection, database.clock).live()
    const others = live.filter(({ version }) => version !== VERSION)
    const migrated = await database.migrate({ othersLive: others.length > 0 })
    if (options.json === true) print(printableJson({ ...migrated, indexes: INDEXES.map(indexLabel).sort() }))
    else for (const line of migratedText(migrated, others.length)) print(line)
    return migrated.blocked.length === 0 ? EXIT.done : EXIT.failed
  } finally {
    await database.close()
  }
}

function migratedText({ made, blocked, hidden, dropped }: Migrated, others: number): string[] {
  const done = [
    ...made.map((name) => `made  ${name}`),
    ...blocked.map((why) => `not made  ${oneLine(why)}`),
    ...hidden.map((name) => `hidden  ${name}`),
    ...dropped.map((name) => `dropped  ${name}`),
  ]
  if (done.length === 0) return [`every index is there: ${INDEXES.length}`]
  if (hidden.length === 0) return done
  const again = 'run this again when they have stopped, to drop what is hidden'
  return [...done, `${others} ${others === 1 ? 'process' : 'processes'} of another version still run: ${again}`]
}
