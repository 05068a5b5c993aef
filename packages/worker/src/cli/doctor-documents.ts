import {
  type Fleet,
  FleetError,
  type IndexFindings,
  indexLabel,
  missingIndexes,
  type SetAsideRow,
} from '@taskfleet/core'
import type { Check } from './doctor.ts'
import { oneLine } from './text.ts'

const SHOWN = 10

/** Indexes, and documents that don't fit: what is wrong with them, and with `repair` what could be done about it. */
export async function checkDocuments(fleet: Fleet, check: Check, repair: boolean): Promise<void> {
  await check('indexes', async () => indexesText(fleet, await fleet.indexes.look()))
  if (repair) {
    await check('repair', async () => {
      const repaired = await fleet.repair()
      if (repaired.length === 0) return 'there is nothing to repair'
      const lines = repaired.map(({ collection, id, problem, did }) => `${collection} ${id}: ${problem}: ${did}`)
      return `${repaired.length} documents: ${shown(lines)}`
    })
  }
  await check('documents', async () => {
    await fleet.survey()
    return documentsText(await fleet.gate.setAside.list())
  })
}

async function indexesText({ database }: Fleet, { missing, stillMissing, duplicates }: IndexFindings): Promise<string> {
  const names = (indexes: IndexFindings['missing']): string =>
    indexes.map(({ collection, name }) => `${collection}.${name}`).join(', ')
  if (stillMissing.length > 0) {
    const keys = duplicates.map(({ key, tasks }) => `'${key}' of ${tasks.join(' and ')}`).join(', ')
    const why = keys === '' ? 'the log says why' : `open tasks have the same key: ${keys}; cancel all but one of each`
    throw new FleetError('INDEX_MISSING', `${names(stillMissing)} can't be made: ${why}`)
  }
  const unused = await missingIndexes(database.db)
  if (unused.length > 0) {
    const labels = unused.map(indexLabel).join(', ')
    throw new FleetError('NEEDS_MIGRATION', `hidden or of another form: ${labels}. Run \`taskfleet migrate\``)
  }
  const there = database.expectedIndexes().map(({ name }) => name)
  return missing.length === 0 ? there.join(', ') : `made ${names(missing)}, which were missing`
}

/** @throws {FleetError} `CORRUPT` where some are set aside */
export function documentsText(setAside: readonly Pick<SetAsideRow, 'collection' | 'id' | 'how' | 'problem'>[]): string {
  if (setAside.length === 0) return 'all fit'
  const lines = setAside.map(({ collection, id, how, problem }) => `${collection} ${id} (${how}): ${problem}`)
  throw new FleetError(
    'CORRUPT',
    `${setAside.length} set aside, since somebody changed them by hand: ${shown(lines)}. Remove or retry what has failed, correct the rest, or let 'taskfleet doctor --repair' do what is safe`,
  )
}

function shown(lines: readonly string[]): string {
  const rest = lines.length > SHOWN ? `; and ${lines.length - SHOWN} more` : ''
  return `${lines.slice(0, SHOWN).map(oneLine).join('; ')}${rest}`
}
