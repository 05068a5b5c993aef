import { useFleetClient } from '@taskfleet/react'
import { useMemo } from 'react'
import { type UsualRuns, usualRuns } from '../view/history.ts'
import { useAsked } from './use-asked.ts'

const AGAIN_MS = 120_000
const DAY_MS = 86_400_000
/** Fewer tasks than this say nothing about what is usual. */
const ENOUGH = 20

/** Of the last day, from the roll-ups by hour. Empty until it is known, and for keys that may not read them. */
export function useUsualRuns(): UsualRuns {
  const client = useFleetClient()
  const ask = () =>
    client.tasks.history({ unit: 'hour', since: new Date(Date.now() + client.clockOffset - DAY_MS).toISOString() })
  const { answer } = useAsked(ask, { key: 'usual runs', everyMs: AGAIN_MS })
  return useMemo(() => usualRuns(answer ?? [], ENOUGH), [answer])
}
