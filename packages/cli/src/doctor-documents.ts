import type { Fleet } from '@taskfleet/core'
import { INDEXES, type IndexFindings, indexLabel, missingIndexes } from '@taskfleet/core/internal'
import { FleetError, type SetAsideRow } from '@taskfleet/protocol'
import type { Check } from './doctor.ts'
import { oneLine } from './text.ts'

const SHOWN = 10

/** Checks indexes and documents, and with `repair` repairs what it can. */
export async function checkDocuments(fleet: Fleet, check: Check, repair: boolean): Promise<void> {
  if (!repair) await check('indexes', () => indexesThere(fleet))
  else {
    await check('indexes', async () => indexesMade(await fleet.indexes.look()))
    await check('repair', async () => {
      const repaired = await fleet.repair()
      if (repaired.length === 0) return 'nothing to repair'
      const lines = repaired.map(({ collection, id, problem, did }) => `${collection} ${id}: ${problem}: ${did}`)
      return `${repaired.length} documents: ${shown(lines)}`
    })
  }
  await check('documents', async () => {
    await fleet.survey()
    return documentsText(await fleet.gate.setAside.list())
  })
}

/** @throws {FleetError} `NEEDS_MIGRATION` */
async function indexesThere({ database }: Fleet): Promise<string> {
  const missing = await missingIndexes(database.db)
  if (missing.length === 0) return `all ${INDEXES.length} are there`
  const names = missing.map(indexLabel).join(', ')
  const remedy = 'Run `taskfleet migrate` or `taskfleet doctor --repair`'
  throw new FleetError('NEEDS_MIGRATION', `missing or hidden: ${names}. ${remedy}`)
}

/** @throws {FleetError} `INDEX_MISSING` */
function indexesMade({ missing, stillMissing, duplicates }: IndexFindings): string {
  const names = (indexes: IndexFindings['missing']): string =>
    indexes.map(({ collection, name }) => `${collection}.${name}`).join(', ')
  if (stillMissing.length > 0) {
    const keys = duplicates.map(({ key, tasks }) => `'${key}' of ${tasks.join(' and ')}`).join(', ')
    const why = keys === '' ? 'see the log' : `open tasks have the same key: ${keys}; cancel all but one of each`
    throw new FleetError('INDEX_MISSING', `${names(stillMissing)} can't be built: ${why}`)
  }
  return missing.length === 0 ? `all ${INDEXES.length} are there` : `built ${names(missing)}, which were missing`
}

/** @throws {FleetError} `CORRUPT` when some are invalid */
export function documentsText(setAside: readonly Pick<SetAsideRow, 'collection' | 'id' | 'how' | 'problem'>[]): string {
  if (setAside.length === 0) return 'all documents are valid'
  const lines = setAside.map(({ collection, id, how, problem }) => `${collection} ${id} (${how}): ${problem}`)
  const problem = `${setAside.length} invalid, probably changed by hand: ${shown(lines)}`
  const remedy =
    "Remove or retry failed tasks, correct the rest, or run 'taskfleet doctor --repair', which repairs what is safe to repair"
  throw new FleetError('CORRUPT', `${problem}. ${remedy}`)
}

function shown(lines: readonly string[]): string {
  const rest = lines.length > SHOWN ? `; and ${lines.length - SHOWN} more` : ''
  return `${lines.slice(0, SHOWN).map(oneLine).join('; ')}${rest}`
}
