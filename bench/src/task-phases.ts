import { once } from 'node:events'
import type { TaskDocument } from '@taskfleet/core'
import { type IndexEntry, indexEntries } from '@taskfleet/core/internal'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { BSON } from 'mongodb'
import { z } from 'zod'
import type { Bed } from './bed.ts'

const sameEntry = (one: IndexEntry) => (other: IndexEntry) => JSON.stringify(one) === JSON.stringify(other)
const without = (entries: readonly IndexEntry[], others: readonly IndexEntry[]): IndexEntry[] =>
  entries.filter((entry) => !others.some(sameEntry(entry)))
/** Each value with a byte for its type, before the server compresses what keys have in common. */
const keyBytes = (entries: readonly IndexEntry[]): number =>
  entries
    .flatMap(({ values }) => values)
    .reduce<number>((sum, value) => sum + BSON.calculateObjectSize({ value }) - 11, 0)

/** How large a task is in each phase, and which index entries each write adds and removes, in lines. */
export async function taskPhases({ fleet, uri }: Bed, input: Record<string, unknown>): Promise<string[]> {
  const phases: [string, TaskDocument][] = []
  const queue = 'phases'
  const task = defineTask({
    name: 'noop',
    input: z.looseObject({}),
    run: async () => {
      phases.push(['running', (await fleet.tasks.findOne({ queue }))!])
      return null
    },
  })
  phases.push(['pending', await fleet.enqueue(task, input, { queue })])
  const runner = new TaskRunner({ mongo: uri, tasks: [task], queues: [queue] })
  const ended = once(runner, 'success')
  await runner.start()
  await ended
  await runner.stop({ grace: 0 })
  phases.push(['completed', (await fleet.tasks.findOne({ queue }))!])
  const entries = phases.map(([, document]) => indexEntries(document))
  const lines = phases.map(([phase, document], n) => {
    const [now, before] = [entries[n]!, entries[n - 1] ?? []]
    const written = `+${without(now, before).length} -${without(before, now).length} index entries`
    const held = `${now.length} with ${keyBytes(now)} bytes (${now.map(({ index }) => index).join(', ')})`
    return `${phase}: ${BSON.calculateObjectSize(document)} bytes; ${written}; now ${held}`
  })
  return [...lines, `removed by retention: -${entries.at(-1)!.length} index entries`]
}
