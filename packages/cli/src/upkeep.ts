import { FleetDatabase, INDEXES, indexLabel, type Migrated, WorkerRegister } from '@taskfleet/core/internal'
import { durationText, FleetError, type Retention, VERSION } from '@taskfleet/protocol'
import { databaseOf } from './address.ts'
import { EXIT } from './exit.ts'
import type { CommandKit, Print } from './kit.ts'
import { operationCommand } from './operation-commands.ts'
import { type CommonOptions, parseMs } from './options.ts'
import { oneLine, printableJson } from './text.ts'

const KEPT = Object.fromEntries(
  ['completed', 'failed', 'cancelled'].map((status) => [
    status,
    { flag: `--${status} <duration|forever>`, parse: parseMs, none: 'forever' },
  ]),
)

export function upkeepCommands(kit: CommandKit): void {
  operationCommand(kit, 'retention', 'set', {
    summary: 'show how long ended tasks are kept; with options, change it',
    flags: KEPT,
    call: ({ retention }, changes) => (Object.keys(changes).length > 0 ? retention.set(changes) : retention.show()),
    text: (policy: Retention) =>
      Object.entries(policy)
        .map(([status, kept]) => `${status.padEnd(10)} ${kept === null ? 'forever' : durationText(kept, { parts: 5 })}`)
        .join('\n'),
  })
  operationCommand(kit, 'retention', 'prune', {
    summary: 'remove ended tasks and their log lines permanently',
    flags: {
      statuses: { flag: '--status <names>' },
      olderThanMs: { flag: '--older-than <duration>', parse: parseMs },
    },
    async call({ retention }, request, { options: { yes } }) {
      // Asks for confirmation on a terminal.
      if (process.stdin.isTTY === true && request.dryRun !== true && yes !== true) {
        const { matched } = await retention.prune({ ...request, dryRun: true })
        throw new FleetError('BAD_REQUEST', `This would permanently remove ${tasksText(matched)}: confirm with --yes`)
      }
      return retention.prune(request)
    },
    text: ({ matched, removed }, { dryRun }) =>
      dryRun === true ? `${tasksText(matched)} would be removed` : `${tasksText(removed)} removed`,
  }).option('--yes', 'required on a terminal, since removed tasks can not be restored')
  kit
    .json(
      'migrate',
      'upgrade the database to this version: create new indexes, then drop obsolete ones; safe to repeat',
    )
    .action(kit.act((options: CommonOptions) => migrate(options, kit.print)))
}

const tasksText = (count: number): string => `${count} ${count === 1 ? 'task' : 'tasks'}`

async function migrate(options: CommonOptions, print: Print): Promise<number> {
  const database = await FleetDatabase.connect(databaseOf(options))
  try {
    const live = await new WorkerRegister(database, database.clock).live()
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
    ...blocked.map((why) => `not built  ${oneLine(why)}`),
    ...hidden.map((name) => `hidden  ${name}`),
    ...dropped.map((name) => `dropped  ${name}`),
  ]
  if (done.length === 0) return [`all ${INDEXES.length} indexes exist`]
  if (hidden.length === 0) return done
  const again = 'run this again when they have stopped, to drop the hidden indexes'
  return [...done, `${others} ${others === 1 ? 'process' : 'processes'} of another version still run: ${again}`]
}
