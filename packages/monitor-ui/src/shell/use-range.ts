import { useNavigate, useSearch } from '@tanstack/react-router'
import { useServerTime } from '@taskfleet/react'
import { type Range, type RangeName, rangeOf } from '../view/range.ts'

const STEP_MS = 10_000

interface UsedRange extends Range {
  /** As it is in the address; undefined for any time: charts then show the last hour. */
  chosen: string | undefined
  /** Shows another range on every page. */
  change: (range: string | undefined) => void
}

/**
 * The one time range of the monitor. One that ends now moves on every ten seconds.
 *
 * @param usual the range of this page while none is chosen
 */
export function useRange(usual?: RangeName): UsedRange {
  const { range: chosen } = useSearch({ strict: false }) as { range?: string }
  const navigate = useNavigate()
  const now = useServerTime((ms) => Math.floor(ms / STEP_MS) * STEP_MS)
  const change = (range: string | undefined) =>
    void navigate({ to: '.', search: (before: object) => ({ ...before, range }) } as never)
  return { ...rangeOf(chosen, now, usual), chosen, change }
}
